"""Model files: canonical bytes, and hostile ones refused in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ModelRefused
from vbq.risk.artefact import canonical, canonical_json, digest, is_canonical, parse


def test_writing_and_reading_a_model_changes_neither_it_nor_its_bytes(published) -> None:
    content = canonical(published)
    assert parse(content) == published
    assert canonical(parse(content)) == content
    assert is_canonical(content)


def test_other_spacing_or_order_is_not_canonical(published) -> None:
    document = json.loads(canonical(published))
    assert not is_canonical(json.dumps(document, indent=1).encode())
    assert digest(canonical_json(dict(reversed(document.items())))) == digest(canonical(published))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": 1}',
        b"\xff\xfe",
        b'{"id": NaN}',
        b'{"id": 1, "id": 2}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=["empty", "cut", "list", "null", "no model", "not UTF-8", "NaN", "key twice", "deep", "deep objects"],
)
def test_what_is_not_a_model_is_refused(content) -> None:
    with pytest.raises(ModelRefused):
        parse(content)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_refuse(content) -> None:
    with pytest.raises(ModelRefused):
        parse(content)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pickle"},
        {"unknown": 1},
        {"schema_version": 2},
        {"id": "../../etc"},
        {"covariance": [[1.0]]},
        {"horizon": -5},
        {"covariates": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_model_with_one_wrong_part_is_refused_and_the_part_is_named(published, change) -> None:
    document = {**json.loads(canonical(published)), **change}
    with pytest.raises(ModelRefused):
        parse(json.dumps(document).encode())


def test_infinity_by_overflow_is_refused(published) -> None:
    content = canonical(published).replace(b'"horizon":5', b'"horizon":1e999')
    with pytest.raises(ModelRefused):
        parse(content)
