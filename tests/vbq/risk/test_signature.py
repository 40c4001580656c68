"""Only the bytes that a trusted key signed count."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ModelRefused
from schemas.model import Signature, TrustedKey
from vbq.risk.artefact import canonical, digest
from vbq.risk.published import build
from vbq.risk.shipped import DEFAULT_MODEL, shipped_keys, shipped_models
from vbq.risk.signature import open_model, public_text, sign

CONTENT, SIGNATURE = shipped_models()[DEFAULT_MODEL]
KEYS = shipped_keys()


@pytest.fixture
def own_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def test_the_shipped_model_opens_and_its_digest_is_that_of_its_file() -> None:
    loaded = open_model(CONTENT, SIGNATURE, KEYS)
    assert loaded.artefact.id == DEFAULT_MODEL
    assert loaded.digest == digest(CONTENT)


@given(place=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_is_refused_and_the_message_says_that_it_was_changed(place, flip) -> None:
    content = bytearray(CONTENT)
    content[place] ^= flip
    with pytest.raises(ModelRefused, match="changed after it was signed") as refused:
        open_model(bytes(content), SIGNATURE, KEYS)
    assert refused.value.reason_code == "model-changed"


def test_a_changed_file_with_a_corrected_digest_is_refused_all_the_same() -> None:
    content = CONTENT.replace(b"0.6259", b"0.7259", 1)
    forged = {**json.loads(SIGNATURE), "digest": digest(content)}
    with pytest.raises(ModelRefused, match="signature is wrong"):
        open_model(content, json.dumps(forged).encode(), KEYS)


def test_a_key_that_nobody_trusts_signs_in_vain(own_key) -> None:
    signature = sign(CONTENT, own_key).model_dump_json().encode()
    with pytest.raises(ModelRefused, match="not trusted"):
        open_model(CONTENT, signature, KEYS)
    trusted = TrustedKey(name="own", ed25519=public_text(own_key.public_key()))
    assert open_model(CONTENT, signature, [trusted]).digest == digest(CONTENT)


@pytest.mark.parametrize("signature", [b"", b"{}", b"[]", b"null", b'{"algorithm":"none"}', b"\xff"])
def test_a_signature_file_that_is_none_is_refused(signature) -> None:
    with pytest.raises(ModelRefused, match="signature"):
        open_model(CONTENT, signature, KEYS)


def test_only_a_canonical_model_is_signed(own_key) -> None:
    with pytest.raises(ModelRefused, match="canonical"):
        sign(CONTENT + b"\n", own_key)
    with pytest.raises(ModelRefused):
        sign(b'{"any":"json"}', own_key)


def test_signing_is_deterministic_and_its_record_is_closed(own_key) -> None:
    content = canonical(build())
    assert sign(content, own_key) == sign(content, own_key)
    assert set(Signature.model_fields) == {"algorithm", "ed25519", "digest", "signature"}
