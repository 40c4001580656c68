"""Which sender an event is from."""

import hashlib
import hmac

import pytest

from schemas.config import Sender
from schemas.errors import NotConfigured
from services.senders import Senders


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_bearer_token_names_its_sender_also_while_it_is_rotated() -> None:
    senders = Senders(
        [Sender(name="a", bearer_sha256=[hashed("old"), hashed("new")]), Sender(name="b", bearer_sha256=hashed("b"))],
        {},
    )
    assert [getattr(senders.by_token(token), "name", None) for token in ("old", "new", "b", "", "c")] == [
        "a",
        "a",
        "b",
        None,
        None,
    ]


def test_a_signature_of_the_raw_body_names_its_sender() -> None:
    senders = Senders([Sender(name="medplum", hmac_secret_env="SECRET")], {"SECRET": "s3cr3t"})
    body = b'{"resourceType":"Patient"}'
    signature = hmac.new(b"s3cr3t", body, hashlib.sha256).hexdigest()
    found = [senders.by_signature(text, body) for text in (signature, signature.upper(), f"sha256={signature}")]
    assert [sender.name for sender in found if sender] == ["medplum"] * 3
    assert senders.by_signature(signature, body + b" ") is None
    assert senders.by_signature("é", body) is None


def test_a_signature_of_nothing_proves_nothing() -> None:
    senders = Senders([Sender(name="medplum", hmac_secret_env="SECRET")], {"SECRET": "s3cr3t"})
    assert senders.by_signature(hmac.new(b"s3cr3t", b"", hashlib.sha256).hexdigest(), b"") is None


@pytest.mark.parametrize(
    ("senders", "words"),
    [
        ([Sender(name="m", hmac_secret_env="NOT_SET")], "NOT_SET"),
        ([Sender(name="a", bearer_sha256="0" * 64), Sender(name="b", bearer_sha256="0" * 64)], "b: another sender"),
        ([Sender(name="a", bearer_sha256="0" * 64), Sender(name="a", bearer_sha256="1" * 64)], "two are called a"),
        ([Sender(name="w", hmac_secret_env="NOT_BASE64")], "not base64"),
        ([Sender(name="a", hmac_secret_env="TWICE"), Sender(name="b", hmac_secret_env="TWICE")], "b: another sender"),
    ],
)
def test_a_sender_that_could_not_be_told_apart_stops_the_start(senders: list[Sender], words: str) -> None:
    with pytest.raises(NotConfigured, match=words):
        Senders(senders, {"NOT_BASE64": "whsec_***", "TWICE": "s3cr3t"})
