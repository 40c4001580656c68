"""Request bodies: bounded, plain, JSON."""

from typing import Any

import msgspec
from flask import request as current
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.wrappers import Request

from schemas.errors import NotAcceptable

DRAINED_BYTES = 64 * 2**20
TAKEN = frozenset({"application/fhir+json", "application/json"})


def body_of_request(asked: Request | None = None) -> bytes:
    """The raw body, bounded by VBQ_MAX_BODY_BYTES. 415 for what is not plain JSON, 413 for what is too large.

    A body without a type may be empty (a rest-hook without payload) or come with a DELETE; what is wrong with it
    otherwise is said when it is parsed.
    `asked`: the request; default: Flask's current one.
    """
    request = current if asked is None else asked
    kind = request.mimetype
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    form_of_nothing = kind == "application/x-www-form-urlencoded" and request.content_length == 0  # HAPI's empty hook
    stated = request.method != "DELETE" and (kind or request.content_length) and not form_of_nothing
    if stated and (kind not in TAKEN or charset not in {"utf-8", "utf8"}):
        raise UnsupportedMediaType
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType
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
