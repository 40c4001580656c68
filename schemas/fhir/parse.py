"""Bytes to a JSON object, strictly: what two parsers could read differently is refused rather than guessed.

RFC 8259 leaves duplicate keys, non-finite numbers and lone surrogates to the reader; each is an error here, and so is
nesting beyond a bound (Python's own parser answers a deep document with a RecursionError).
"""

import json
import re
from typing import Any, Final, NoReturn

import msgspec

from schemas.errors import NotAcceptable

MAX_DEPTH: Final = 64
MAX_INTEGER_DIGITS: Final = 18  # fits 64 bits; FHIR's decimal asks for 18 significant digits at most

# Codes of NotAcceptable that mean "not JSON as we take it" (HTTP 400); every other code means "not FHIR" (HTTP 422).
SYNTAX_CODES: Final = frozenset(
    {"empty-body", "not-utf8", "not-json", "not-an-object", "too-deep", "duplicate-key", "number-range", "surrogate"}
)

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_INTEGER_DIGITS + 1))
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


def parse_json(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in `body` (UTF-8, no byte order mark).

    Raises NotAcceptable with a code of SYNTAX_CODES; the message never repeats the input.
    """
    if not body.strip():
        raise NotAcceptable("the body is empty; send a FHIR resource as JSON", code="empty-body")
    outside = _outside_strings(body)
    if _deeper_than(max_depth, outside):
        raise _too_deep(max_depth)
    document = _quickly(body, outside)
    return _strictly(body, max_depth) if document is None else document


def _quickly(body: bytes, outside: bytes) -> dict[str, Any] | None:
    """The document by msgspec, a third of the time of the strict reader; None where that one has to decide.

    msgspec refuses whatever the strict reader refuses but for two: a key that comes twice leaves fewer members than
    there are colons outside of strings, and an integer with too many digits shows there too.
    """
    if _LONG_NUMBER.search(outside):
        return None
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(document, dict) or _members(document) != outside.count(b":"):
        return None
    return document


def _members(document: dict[str, Any]) -> int:
    """How many members all objects in `document` have together."""
    count = 0
    rest: list[Any] = [document]
    while rest:
        item = rest.pop()
        if type(item) is dict:
            count += len(item)
            rest.extend(item.values())
        elif type(item) is list:
            rest.extend(item)
    return count


def _strictly(body: bytes, max_depth: int) -> dict[str, Any]:
    """The document, or what is wrong with it in words."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotAcceptable(
            f"the body is not UTF-8 (at byte {error.start}); FHIR JSON is always UTF-8", code="not-utf8"
        ) from None
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_not_a_number,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        raise _too_deep(max_depth) from None
    except json.JSONDecodeError as error:
        raise NotAcceptable(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="not-json"
        ) from None
    if not isinstance(document, dict):
        raise NotAcceptable("the body must be one JSON object: a FHIR resource", code="not-an-object")
    if _SURROGATE_ESCAPE.search(body):
        _refuse_lone_surrogates(document)
    return document


def _too_deep(limit: int) -> NotAcceptable:
    return NotAcceptable(
        f"the JSON is nested more than {limit} levels deep; no FHIR resource that matters here is", code="too-deep"
    )


def _outside_strings(body: bytes) -> bytes:
    """What of `body` stands outside of strings, if it is JSON."""
    plain = _ESCAPE.sub(b"", body) if b"\\" in body else body
    return b"".join(plain.split(b'"')[::2])


def _deeper_than(limit: int, outside: bytes) -> bool:
    """Whether arrays and objects nest deeper than `limit`, without building anything.

    Each round takes away the innermost pair everywhere, so `limit` rounds empty what is shallow enough.
    """
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(limit):
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):
            break
        brackets = peeled
    if b"[]" in brackets:
        return True
    # No pair is left, so what is left is unbalanced: closing ones, which end the parse, then opening ones.
    return not brackets.startswith(b"]") and len(brackets) > limit


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAcceptable("an object has the same key twice; readers would differ about it", code="duplicate-key")
    return found


def _not_a_number(_: str) -> NoReturn:
    raise NotAcceptable("NaN and Infinity are not JSON; leave the element out", code="number-range")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotAcceptable("a number is too large to be read", code="number-range")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS + 1:
        raise NotAcceptable(f"an integer has more than {MAX_INTEGER_DIGITS} digits", code="number-range")
    return int(text)


def _refuse_lone_surrogates(document: dict[str, Any]) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise NotAcceptable(
            "a string holds half of a surrogate pair, which is no character", code="surrogate"
        ) from None
