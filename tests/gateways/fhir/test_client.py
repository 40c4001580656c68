"""The FHIR client against a server that answers whatever the test wants it to."""

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from gateways.access.logins import Fixed
from gateways.fhir.client import FhirClient
from gateways.fhir.http import FhirHttp, Limits, inside
from gateways.outgoing.retry_after import retry_after_s
from schemas.errors import EhrUnavailable, Forbidden, Rejected
from tests.hostile_server import Answer, Asked, Hostile, answers, bundle, hostile

P1 = {"resourceType": "Patient", "id": "p1"}


def observation(number: int) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": f"o{number}"}


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile(answers({})) as one:
        yield one


def client_of(server: Hostile, token: str | None = "t0ken", also_at: tuple[str, ...] = (), **limits: Any) -> FhirClient:
    login = Fixed({"Authorization": f"Bearer {token}"} if token else {})
    slept: list[float] = []
    http = FhirHttp(server.base, login, limits=Limits(**limits), sleep=slept.append, also_at=also_at)
    http.slept = slept  # type: ignore[attr-defined]  # for the tests to look at
    return FhirClient(http)


def code_of(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.reason_code)


def test_a_reference_is_read_with_the_token(server: Hostile) -> None:
    server.script = answers({"Patient/p1": P1})
    with client_of(server) as client:
        for reference in ("Patient/p1", f"{server.base}/Patient/p1", "Patient/p1/_history/3"):
            assert client.read(reference) == P1
    assert server.paths() == ["Patient/p1", "Patient/p1", "Patient/p1/_history/3"]
    assert {one.token for one in server.asked} == {"Bearer t0ken"}


def test_a_server_may_call_itself_otherwise_where_that_is_configured(server: Hostile) -> None:
    """Behind a proxy: references and next pages below an alias are read below the base."""
    inner = "http://hapi:8080/fhir"
    server.script = answers(
        {
            "Patient/p1": P1,
            "Observation?page=2": bundle(observation(2)),
            "Observation": bundle(observation(1), following=f"{inner}/Observation?page=2"),
        }
    )
    with FhirClient(FhirHttp(server.base, aliases=[f"{inner}/"])) as client:
        assert client.read(f"{inner}/Patient/p1") == P1
        assert [row["id"] for row in client.search("Observation", {})] == ["o1", "o2"]
    assert {one.headers["cache-control"] for one in server.asked} == {"no-cache"}


@pytest.mark.parametrize(
    ("reference", "kind", "code"),
    [
        ("http://169.254.169.254/latest/Patient/p1", Forbidden, "ehr-elsewhere"),
        ("https://secret.example/fhir/Patient/p1", Forbidden, "ehr-elsewhere"),
        ("Patient/p1?_id=2", Rejected, "ehr-reference"),
        ("Patient/../../admin", Rejected, "ehr-reference"),
        ("#contained", Rejected, "ehr-reference"),
        ("urn:uuid:1", Rejected, "ehr-reference"),
        ("Nonsense/1", Rejected, "ehr-reference"),
        ("", Rejected, "ehr-reference"),
    ],
)
def test_a_reference_that_is_not_ours_to_follow_is_not_followed(
    server: Hostile, reference: str, kind: type[Exception], code: str
) -> None:
    with client_of(server) as client, pytest.raises(kind) as caught:
        client.read(reference)
    assert code_of(caught) == code
    assert "secret" not in str(caught.value)
    assert server.asked == []


def test_not_there_deleted_and_another_resource_are_told_apart(server: Hostile) -> None:
    gone = Answer(410, {"resourceType": "OperationOutcome", "issue": [{"code": "deleted", "diagnostics": "Jane"}]})
    server.script = answers({"Patient/gone": gone, "Patient/p2": P1})
    with client_of(server) as client:
        for name, code in (("nobody", "ehr-not-found"), ("gone", "ehr-gone"), ("p2", "ehr-reply")):
            with pytest.raises(Rejected) as caught:
                client.read(f"Patient/{name}")
            assert code_of(caught) == code
            assert "Jane" not in caught.value.detail


def test_every_page_of_a_search_is_read(server: Hostile) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning"}]}
    server.script = answers(
        {
            "Observation?code=a%7Cb&_count=2": bundle(
                observation(1), observation(2), outcome, following=f"{server.base}?_getpages=7"
            ),
            "?_getpages=7": bundle(following="Observation?page=3"),
            "Observation?page=3": bundle(observation(3)),
        }
    )
    with client_of(server) as client:
        found = list(client.search("Observation", {"code": "a|b", "_count": "2"}))
    assert [row["id"] for row in found] == ["o1", "o2", "o3"]


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1/fhir/Observation?page=2", "/elsewhere?x", "//evil.example/fhir/x"]
)
def test_a_next_page_elsewhere_is_not_asked_for(server: Hostile, where: str) -> None:
    server.script = answers({"Observation": bundle(observation(1), following=where)})
    with client_of(server) as client, pytest.raises(Forbidden, match="outside the configured FHIR base"):
        list(client.search("Observation", {}))
    assert len(server.asked) == 1


def test_pages_in_circles_and_pages_without_end_are_left(server: Hostile) -> None:
    server.script = answers(
        {
            "Observation?a": bundle(observation(1), following=f"{server.base}/Observation?b"),
            "Observation?b": bundle(observation(2), following=f"{server.base}/Observation?a=1"),
            "Observation?a=1": bundle(observation(3), following=f"{server.base}/Observation?b"),
        }
    )
    with client_of(server) as client:
        with pytest.raises(Rejected, match="circles") as caught:
            list(client.search("Observation", [("a", "1")]))
        assert code_of(caught) == "ehr-paging"

        server.script = lambda asked: Answer(
            200, bundle(observation(1), following=f"{server.base}/Observation?n={len(server.asked)}")
        )
        with pytest.raises(Rejected) as caught:
            list(client.search("Observation", {}, pages=7))
        assert code_of(caught) == "ehr-too-much"

        server.script = lambda asked: Answer(200, bundle(following=f"{server.base}/Observation?n={len(server.asked)}"))
        with pytest.raises(Rejected, match="empty pages"):
            list(client.search("Observation", {}))


def test_a_huge_reply_is_left_at_its_bound(server: Hostile) -> None:
    server.script = answers({"Patient/p1": {**P1, "text": "x" * 3_000_000}})
    with client_of(server, reply_bytes=2**20) as client, pytest.raises(Rejected, match="larger than 1 MiB"):
        client.read("Patient/p1")


def test_a_gzip_bomb_is_left_at_its_bound(server: Hostile) -> None:
    bomb = gzip.compress(b" " * 50_000_000, 6)
    server.script = answers({"Patient/p1": Answer(200, bomb, {"Content-Encoding": "gzip"})})
    with client_of(server, reply_bytes=2**20) as client, pytest.raises(Rejected, match="larger than 1 MiB"):
        client.read("Patient/p1")


def test_gzip_is_read_and_broken_gzip_is_no_answer(server: Hostile) -> None:
    good = gzip.compress(json.dumps(P1).encode())
    told = {"Content-Encoding": "gzip"}
    server.script = answers(
        {
            "Patient/p1": Answer(200, good, told),
            "Patient/short": Answer(200, good[:-12], told),
            "Patient/lie": Answer(200, b"{}", told),
            "Patient/odd": Answer(200, zlib.compress(b"{}"), {"Content-Encoding": "br"}),
        }
    )
    with client_of(server) as client:
        assert client.read("Patient/p1") == P1
        for name in ("short", "lie"):
            with pytest.raises(EhrUnavailable):
                client.read(f"Patient/{name}")
        with pytest.raises(Rejected, match="encoded in a way"):
            client.read("Patient/odd")


def trickle(*parts: bytes, pause: float, times: int) -> Answer:
    def raw(sink: Any) -> None:
        for part in parts[:-1]:
            sink.write(part)
            sink.flush()
        for _ in range(times):
            time.sleep(pause)
            sink.write(parts[-1])
            sink.flush()

    return Answer(raw=raw)


@pytest.mark.parametrize(
    "slow",
    [
        trickle(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", pause=0.05, times=100),
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ", pause=0.05, times=100),
        trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", pause=0.05, times=100),
    ],
    ids=["headers", "body", "chunks"],
)
def test_a_server_that_trickles_costs_its_time_and_no_more(server: Hostile, slow: Answer) -> None:
    server.script = answers({"Patient/p1": slow})
    began = time.monotonic()
    with client_of(server, reply_seconds=0.4) as client, pytest.raises(EhrUnavailable):
        client.read("Patient/p1")
    assert time.monotonic() - began < 1.5


def test_silence_and_a_cut_are_no_answer(server: Hostile) -> None:
    server.script = answers(
        {
            "Patient/cut": Answer(cut=True),
            "Patient/half": Answer(200, b"{}", {"Content-Length": "99", "Connection": "close"}),
            "Patient/p1": trickle(b"", b"", pause=2, times=1),
        }
    )
    with client_of(server, silence_seconds=0.3) as client:
        for name in ("cut", "half", "p1"):
            with pytest.raises(EhrUnavailable, match="did not answer"):
                client.read(f"Patient/{name}")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_as_it_asks(server: Hostile, status: int) -> None:
    def script(asked: Asked) -> Answer:
        date = formatdate(time.time() + 7, usegmt=True)
        waits = ["3", date, None]
        told = waits[len(server.asked) - 1] if len(server.asked) <= 3 else ""
        if told == "":
            return Answer(200, P1)
        return Answer(status, {}, {"Retry-After": told} if told else {})

    server.script = script
    with client_of(server, waits_seconds=30) as client:
        assert client.read("Patient/p1") == P1
        slept = client.http.slept  # type: ignore[attr-defined]  # see client_of
    assert slept[0] == 3.0
    assert 5 <= slept[1] <= 7
    assert slept[2] == 4.0, "without a word from the server the waits double"


def test_a_storm_of_429_ends_with_the_budget(server: Hostile) -> None:
    server.script = lambda asked: Answer(429, {}, {"Retry-After": "4"})
    with client_of(server, waits_seconds=10) as client, pytest.raises(EhrUnavailable) as caught:
        client.read("Patient/p1")
    assert caught.value.retry_after_s == 4.0
    assert len(server.asked) == 3
    server.asked.clear()
    server.script = lambda asked: Answer(429, {}, {"Retry-After": "999999999"})
    with client_of(server, waits_seconds=10) as client, pytest.raises(EhrUnavailable):
        client.read("Patient/p1")
    assert len(server.asked) == 1, "a wait beyond the budget is left to whoever asked"


def test_a_write_is_never_repeated_here(server: Hostile) -> None:
    server.script = lambda asked: Answer(503, {}, {"Retry-After": "0"})
    with client_of(server, waits_seconds=10) as client, pytest.raises(EhrUnavailable):
        client.transaction({"resourceType": "Bundle", "type": "transaction"})
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed(server: Hostile) -> None:
    server.script = answers({"Patient/p1": Answer(302, b"", {"Location": f"{server.base}/Patient/p2"})})
    with client_of(server) as client, pytest.raises(Rejected, match="redirect"):
        client.read("Patient/p1")
    assert len(server.asked) == 1


def test_no_cookie_is_kept_and_none_sent(server: Hostile) -> None:
    server.script = answers({"Patient/p1": Answer(200, P1, {"Set-Cookie": "session=one; Path=/"})})
    with client_of(server) as client:
        client.read("Patient/p1")
        client.read("Patient/p1")
    assert [one.headers.get("cookie") for one in server.asked] == [None, None]


def test_the_token_stays_at_the_base_also_where_another_address_is_allowed(server: Hostile) -> None:
    with hostile(lambda asked: Answer(200, b"{}\n")) as files:
        with client_of(server, also_at=(files.root,)) as client:
            with client.http.stream(f"{files.root}/1.ndjson", accept="application/fhir+ndjson") as reply:
                assert b"".join(reply.parts) == b"{}\n"
            with pytest.raises(Forbidden):
                client.http.get("http://127.0.0.1:1/other")
        assert [one.token for one in files.asked] == [None]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff{}", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"'],
)
def test_a_reply_that_is_not_json_as_it_must_be_is_rejected(server: Hostile, body: bytes) -> None:
    server.script = answers({"Patient/p1": Answer(200, body), "Observation": Answer(200, body)})
    with client_of(server) as client:
        with pytest.raises(Rejected) as caught:
            client.read("Patient/p1")
        assert code_of(caught) == "ehr-reply"
        with pytest.raises(Rejected):
            list(client.search("Observation", {}))


@pytest.mark.parametrize(
    "odd",
    [
        {"entry": None},
        {"entry": {"resource": P1}},
        {"entry": [None, 1, {"resource": None}, {"resource": [P1]}]},
        {"link": {"relation": "next", "url": "x"}},
        {"link": [None, {"relation": "next"}, {"relation": "next", "url": ["x"]}]},
    ],
)
def test_an_odd_bundle_holds_what_can_be_read_of_it(server: Hostile, odd: dict[str, Any]) -> None:
    server.script = answers({"Observation": {"resourceType": "Bundle", "type": "searchset", **odd}})
    with client_of(server) as client:
        assert list(client.search("Observation", {})) == []


@pytest.mark.parametrize(
    "document", [P1, {"resourceType": "OperationOutcome"}, {"resourceType": "Bundle", "type": "message"}]
)
def test_something_else_than_a_searchset_is_no_empty_result(server: Hostile, document: dict[str, Any]) -> None:
    server.script = answers({"Observation": document})
    with client_of(server) as client, pytest.raises(Rejected) as caught:
        list(client.search("Observation", {}))
    assert code_of(caught) == "ehr-reply"


def test_what_is_refused_says_the_codes_and_not_the_words(server: Hostile) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "invalid", "diagnostics": "Jane Canary"}]}
    server.script = answers({"": Answer(422, outcome)})
    with client_of(server) as client:
        with pytest.raises(Rejected, match="invalid") as caught:
            client.transaction({"resourceType": "Bundle", "type": "transaction"})
        assert "Canary" not in caught.value.detail
        server.script = lambda asked: Answer(501, b"")
        with pytest.raises(Rejected) as caught:
            client.transaction({"resourceType": "Bundle", "type": "transaction"})
        assert code_of(caught) == "ehr-not-supported"


@pytest.mark.parametrize(
    ("text", "now", "seconds"),
    [
        ("5", 0, 5.0),
        (" 7 ", 0, 7.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 20, 40.0),
        ("Thu, 01 Jan 1970 00:01:00 -0000", 20, 40.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 90, 0.0),
        ("soon", 0, None),
        ("-5", 0, None),
        ("1e9", 0, None),
        ("\u00b2", 0, None),
        ("99999999999999999999", 0, None),
        ("", 0, None),
        (None, 0, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, now: float, seconds: float | None) -> None:
    assert retry_after_s(text, now=now) == seconds


@pytest.mark.parametrize(
    ("url", "within"),
    [
        ("https://ehr.example/fhir/Observation?page=2", True),
        ("https://ehr.example:443/fhir?_getpages=1", True),
        ("https://EHR.example/fhir/x", True),
        ("https://ehr.example/fhirx/Observation", False),
        ("https://ehr.example:444/fhir/Observation", False),
        ("http://ehr.example/fhir/Observation", False),
        ("https://ehr.example@evil.example/fhir/x", False),
        ("https://u@ehr.example/fhir/x", False),
        ("https://ehr.example/fhir/../admin", False),
        ("https://ehr.example/fhir/%2E%2e/admin", False),
        ("https://ehr.example/fhir/..\\admin", False),
        ("https://ehr.example/fhir/x/..", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_what_lies_below_the_base(url: str, within: bool) -> None:
    assert inside(url, "https://ehr.example/fhir/") is within
