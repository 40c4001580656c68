"""Request bodies: bounded, plain, JSON."""

from collections.abc import AsyncIterator, Awaitable
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from flask import request as current
from granian._granian import RSGIProtocolClosed
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request

from schemas.errors import NotAcceptable
from services.asked import Headers

DRAINED_BYTES = 64 * 2**20
TAKEN = frozenset({"application/fhir+json", "application/json"})
FORM = "application/x-www-form-urlencoded"


class Incoming(Protocol):
    """A body on its way: awaited it is whole, iterated over it comes in pieces (granian's RSGI)."""

    def __call__(self) -> Awaitable[bytes]: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


def body_of_request(asked: Request | None = None) -> bytes:
    """The raw body, bounded by VBQ_MAX_BODY_BYTES. 415 for what is not plain JSON, 413 for what is too large.

    `asked`: the request; default: Flask's current one.
    """
    request = current if asked is None else asked
    check_type(request.method, request.headers)
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        _let_it_finish(request)
        raise
    stated_length, most = request.content_length, request.max_content_length
    if stated_length is None and most is not None and len(body) >= most:
        raise RequestEntityTooLarge  # a chunked body is cut at the limit without a word
    if stated_length is not None and len(body) != stated_length:
        raise BadRequest("the body ended before its Content-Length")
    return body


def check_type(method: str, headers: Headers) -> None:
    """Return where the body may be JSON as we take it; raises UnsupportedMediaType (415) otherwise.

    A body without a type may be empty (a rest-hook without payload) or come with a DELETE; what is wrong with it
    otherwise is said when it is parsed.
    """
    kind, charset = _kind(headers.get("Content-Type") or "")
    length = stated_bytes(headers)
    form_of_nothing = kind == FORM and length == 0  # HAPI's empty hook
    stated = method != "DELETE" and (kind or length) and not form_of_nothing
    if stated and (kind not in TAKEN or charset not in {"utf-8", "utf8"}):
        raise UnsupportedMediaType
    if (headers.get("Content-Encoding") or "identity").lower() != "identity":
        raise UnsupportedMediaType


@lru_cache(maxsize=64)
def _kind(content_type: str) -> tuple[str, str]:
    """The media type and its charset, in small letters."""
    kind, options = parse_options_header(content_type)
    return kind.lower(), options.get("charset", "utf-8").lower()


def stated_bytes(headers: Headers) -> int | None:
    """The Content-Length; None where none is stated, or it does not count (chunked)."""
    length = headers.get("Content-Length")
    if length is None or "Transfer-Encoding" in headers:
        return None
    return int(length) if length.isascii() and length.isdecimal() else None


async def body_of(incoming: Incoming, headers: Headers, most: int) -> bytes:
    """The whole body. Raises RequestEntityTooLarge (413) beyond `most` bytes, after a client had the time to send it.

    Raises BadRequest (400) where it is cut off.
    """
    try:
        return await _whole(incoming, headers, most)
    except RSGIProtocolClosed as error:
        raise BadRequest("the body ended before its Content-Length") from error


async def _whole(incoming: Incoming, headers: Headers, most: int) -> bytes:
    stated = stated_bytes(headers)
    if stated == 0 or (stated is None and "Transfer-Encoding" not in headers):
        return b""
    if stated is not None and stated <= most:
        return await incoming()
    parts, length = [], 0
    async for part in incoming:
        length += len(part)
        if length <= most:
            parts.append(part)
        elif length > most + DRAINED_BYTES:
            break
    if length > most:
        raise RequestEntityTooLarge
    return b"".join(parts)


def _let_it_finish(request: Request) -> None:
    """Read a body that is too large, up to a bound, and forget it.

    A client that is still sending when the connection closes sees a broken pipe instead of our 413.
    """
    left = DRAINED_BYTES
    while left > 0 and (part := request.environ["wsgi.input"].read(min(left, 2**16))):
        left -= len(part)


def json_object(body: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object in `body`, for messages of which little is read: some 20 us for 4 kB, a sixth of parse_json.

    Strict but for one thing: of two members with the same name the last one counts, as in a browser's JSON.parse.
    Raises NotAcceptable with a code of schemas.fhir.parse.SYNTAX_CODES; the message never repeats the input.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAcceptable("the body is not JSON (RFC 8259, UTF-8)", code="not-json") from error
    except RecursionError as error:
        raise too_deep(max_depth) from error
    if not isinstance(document, dict):
        raise NotAcceptable("the body must be one JSON object", code="not-an-object")
    level: list[Any] = [document]
    for _ in range(max_depth):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return document
    raise too_deep(max_depth)


def too_deep(limit: int) -> NotAcceptable:
    """The error for nesting beyond `limit`."""
    return NotAcceptable(f"the JSON is nested more than {limit} levels deep (VBQ_MAX_JSON_DEPTH)", code="too-deep")
