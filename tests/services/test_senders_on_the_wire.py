"""Odd but right HTTP, as engines and gateways write it, byte by byte to the running service."""

import contextlib
import gzip
import json
import socket
import uuid

import pytest

from tests import records
from tests.stack import Stack

pytestmark = pytest.mark.stack
FHIR = "Content-Type: application/fhir+json"


def talk(stack: Stack, *parts: bytes) -> bytes:
    """Send one part after the other, each after the first when something came back or a moment passed."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as wire:
        came = b""
        for number, part in enumerate(parts):
            if number:
                wire.settimeout(1.0)
                with contextlib.suppress(TimeoutError):
                    came += wire.recv(65536)
            wire.sendall(part)
        wire.settimeout(30)
        while more := wire.recv(65536):
            came += more
        return came


def head(*headers: str, first: str = "POST /events HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: 127.0.0.1", "Connection: close", *headers]).encode() + b"\r\n\r\n"


def body() -> bytes:
    return json.dumps(records.t_score(f"wire-{uuid.uuid4().hex[:12]}")).encode()


def status(answer: bytes) -> int:
    """Of the last answer: a 100 Continue may come before it."""
    return int(answer.rpartition(b"HTTP/1.")[2].split()[1])


@pytest.mark.parametrize(
    ("headers", "lead", "expected"),
    [
        ((FHIR,), b"", 202),
        ((FHIR,), b"\xef\xbb\xbf", 202),
        ((f"{FHIR}; charset=UTF-8; fhirVersion=4.0",), b"", 202),
        (("content-type: APPLICATION/JSON",), b"", 202),
        ((FHIR, "Content-Encoding: identity"), b"", 202),
        ((f"{FHIR}; charset=ISO-8859-1",), b"", 415),
        (("Content-Type: application/fhir+xml",), b"", 415),
        ((), b"", 415),
    ],
)
def test_what_the_headers_may_say(stack: Stack, headers: tuple[str, ...], lead: bytes, expected: int) -> None:
    content = lead + body()
    answer = talk(stack, head(*headers, f"content-length: {len(content)}") + content)
    assert status(answer) == expected
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["resourceType"] == "OperationOutcome"


def test_a_compressed_body_hears_that_it_is_not_taken(stack: Stack) -> None:
    content = gzip.compress(body())
    headers = (FHIR, "Content-Encoding: gzip", f"Content-Length: {len(content)}")
    answer = talk(stack, head(*headers) + content)
    assert status(answer) == 415
    assert b"not compressed" in answer


def test_a_body_may_come_in_chunks(stack: Stack) -> None:
    content = body()
    chunks = [b"%x\r\n%s\r\n" % (len(one), one) for one in (content[:7], content[7:])]
    assert status(talk(stack, head(FHIR, "Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n")) == 202


def test_chunks_that_cannot_be_read_are_no_hook_without_payload(stack: Stack) -> None:
    for broken in (body(), b"zz\r\n" + body(), b"0\r\n\r\n"):
        answer = talk(stack, head(FHIR, "Transfer-Encoding: chunked") + broken)
        assert not answer or status(answer) == 400, answer


def test_a_sender_may_wait_to_be_told_to_go_on(stack: Stack) -> None:
    content = body()
    headers = (FHIR, "Expect: 100-continue", f"Content-Length: {len(content)}")
    answer = talk(stack, head(*headers), content)
    assert answer.startswith(b"HTTP/1.1 100")
    assert status(answer) == 202


def test_http_1_0_is_spoken_too(stack: Stack) -> None:
    content = body()
    first = head(FHIR, f"Content-Length: {len(content)}", first="POST /events HTTP/1.0")
    assert status(talk(stack, first + content)) == 202
