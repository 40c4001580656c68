"""Bytes to JSON: strict, bounded, and never anything but an object or NotAcceptable."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import NotAcceptable
from schemas.fhir import parse
from schemas.fhir.parse import SYNTAX_CODES, parse_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def code_of(body: bytes) -> str:
    with pytest.raises(NotAcceptable) as caught:
        parse_json(body)
    return caught.value.reason_code


def outcome_of(body: bytes) -> dict[str, Any] | str:
    """The object, or the code of the refusal. Any other exception is a failure of the test."""
    try:
        return parse_json(body)
    except NotAcceptable as error:
        return error.reason_code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty-body"),
        (b"  \n", "empty-body"),
        (b"not json", "not-json"),
        (b"{", "not-json"),
        (b"][", "not-json"),
        (b'{"a": 1} {"b": 2}', "not-json"),
        (b"\xef\xbb\xbf{}", "not-json"),
        (b'{"a": "\xff"}', "not-utf8"),
        ('{"a": "x"}'.encode("utf-16"), "not-utf8"),
        (b"[]", "not-an-object"),
        (b'"text"', "not-an-object"),
        (b"3", "not-an-object"),
        (b'{"a": NaN}', "number-range"),
        (b'{"a": -Infinity}', "number-range"),
        (b'{"a": 1e999}', "number-range"),
        (b'{"a": -1e999}', "number-range"),
        (b'{"a": 1234567890123456789012}', "number-range"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "number-range"),
        (b'{"a": 1, "a": 1}', "duplicate-key"),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', "duplicate-key"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "too-deep"),
        (b"[" * 100_000, "too-deep"),
        (b'{"a":' * 100_000, "too-deep"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code
    assert code in SYNTAX_CODES


def test_messages_never_repeat_the_body() -> None:
    secret = "Mustermann"
    for body in (f'{{"{secret}": 1, "{secret}": 2}}', f'{{"a": "{secret}" x', f'"{secret}"', f'{{"a": {secret}}}'):
        with pytest.raises(NotAcceptable) as caught:
            parse_json(body.encode())
        assert secret not in caught.value.detail


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert parse_json(json.dumps({"a": "[" * 500 + '"' + "\\" * 7}).encode())
    assert parse_json(b'{"a":' * 63 + b"[]" + b"}" * 63)
    assert code_of(b'{"a":' * 64 + b"[]" + b"}" * 64) == "too-deep"


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    assert parse_json(b'{"a": "\\ud83e\\uddb4"}') == {"a": "\N{BONE}"}


@pytest.mark.parametrize("unit", [b'"', b'"\\"', b"[]", b"]", b"[][", b'{"a":"', b"\\", b'\\"[', b"[{"])
def test_hostile_megabytes_are_answered_in_linear_time(unit: bytes) -> None:
    body = unit * (1_000_000 // len(unit))
    start = time.process_time()
    with pytest.raises(NotAcceptable):
        parse_json(body)
    assert time.process_time() - start < 5  # quadratic would take hours


@given(st.binary(max_size=300))
def test_any_bytes_give_an_object_or_not_acceptable(body: bytes) -> None:
    assert isinstance(outcome_of(body), dict) or outcome_of(body) in SYNTAX_CODES


@given(st.text(alphabet='{}[]",:\\u0d8e1-.aN \n', max_size=60))
def test_near_misses_of_json_give_an_object_or_not_acceptable(text: str) -> None:
    found = outcome_of(text.encode())
    assert found == json.loads(text) if isinstance(found, dict) else found in SYNTAX_CODES


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5), st.booleans())
def test_every_sound_object_comes_back_as_it_was(document: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    assert parse_json(text.encode("utf-8", "surrogatepass")) == document


@given(
    st.dictionaries(st.sampled_from("ab"), JSON, max_size=3),
    st.integers(0, 400),
    st.sampled_from(
        ['"a":1,', '"', "\\", "12345678901234567890", "1e400", "{", "]", ",", ":", "\x01", "\\ud800", "-0", "01", "NaN"]
    ),
)
def test_the_quick_reader_and_the_strict_one_never_differ(document: dict[str, object], at: int, wedge: str) -> None:
    """The quick one may leave a document to the strict one, but not take what that refuses, nor read it otherwise."""
    text = json.dumps({"a": document, "b": [document]})
    body = (text[: at % len(text)] + wedge + text[at % len(text) :]).encode()
    quick = parse._quickly(body, parse._outside_strings(body))
    if quick is not None:
        strict = parse._strictly(body, 64)
        assert json.dumps(quick) == json.dumps(strict)


def test_what_is_usual_is_read_quickly() -> None:
    """Otherwise the test above would compare nothing."""
    body = json.dumps({"a": [1, 2.5, {"b": 'x":{"y', "c": "\N{BONE}"}], "d": None}).encode()
    assert parse._quickly(body, parse._outside_strings(body)) == json.loads(body)
