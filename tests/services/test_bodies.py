"""JSON that is read narrowly: never anything but the object or a refusal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import NotAcceptable
from schemas.fhir.parse import SYNTAX_CODES, parse_json
from services.bodies import json_object

leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    leaves | st.text(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_every_object_is_read_as_the_strict_parser_reads_it(document: dict[str, Any]) -> None:
    body = json.dumps(document, ensure_ascii=False).encode()
    assert json_object(body, 64) == parse_json(body) == document


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0019e. ntf', max_size=60).map(str.encode))
def test_anything_else_is_refused_and_never_a_crash(body: bytes) -> None:
    assert refusal_of(body) in {None, *SYNTAX_CODES}


def refusal_of(body: bytes) -> str | None:
    """The code with which `body` is refused; None where it is taken."""
    try:
        json_object(body, 64)
    except NotAcceptable as error:
        return error.reason_code
    return None


def nested(depth: int, opening: str, closing: str) -> bytes:
    return b'{"a":' + opening.encode() * (depth - 1) + b"1" + closing.encode() * (depth - 1) + b"}"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded_and_an_abyss_is_no_crash(opening: str, closing: str) -> None:
    assert json_object(nested(64, opening, closing), 64)
    for depth in (65, 300, 100_000):
        with pytest.raises(NotAcceptable, match="VBQ_MAX_JSON_DEPTH"):
            json_object(nested(depth, opening, closing), 64)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"{}x"],
)
def test_what_is_no_strict_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotAcceptable):
        json_object(body, 64)
