"""Who vouches for a model: Ed25519 over the bytes of its file, checked before a single byte is parsed."""

import base64
import json
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from schemas.errors import ModelRefused
from schemas.model import ModelArtefact, Signature, TrustedKey
from vbq.risk.artefact import digest, is_canonical, parse


class LoadedModel(NamedTuple):
    """A model whose signature was checked, and the SHA-256 of its file."""

    artefact: ModelArtefact
    digest: str


def sign(content: bytes, key: Ed25519PrivateKey) -> Signature:
    """The detached signature of `content`, which must be canonical JSON of a model (raises ModelRefused)."""
    parse(content)
    if not is_canonical(content):
        raise ModelRefused("only canonical JSON is signed; write the model with vbq.risk.artefact.canonical first")
    return Signature(
        ed25519=public_text(key.public_key()),
        digest=digest(content),
        signature=base64.b64encode(key.sign(content)).decode("ascii"),
    )


def open_model(content: bytes, signature: bytes, trusted: Iterable[TrustedKey]) -> LoadedModel:
    """The model in `content` if a trusted key signed exactly these bytes; raises ModelRefused otherwise."""
    verify(content, read_signature(signature), trusted)
    if not is_canonical(content):
        raise ModelRefused("the model file is signed but not canonical JSON; sign it again with `vbq model sign`")
    return LoadedModel(parse(content), digest(content))


def read_signature(content: bytes) -> Signature:
    """The signature file's record."""
    try:
        return Signature.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as error:
        raise ModelRefused(
            "the signature file cannot be read; sign the model again with `vbq model sign`", code="model-signature"
        ) from error


def verify(content: bytes, signature: Signature, trusted: Iterable[TrustedKey]) -> None:
    """Raises ModelRefused unless one of `trusted` signed `content`. Looks at bytes only."""
    # The digest is compared first for the sake of the message; the signature alone is what protects.
    if digest(content) != signature.digest:
        raise ModelRefused(
            "the model file was changed after it was signed: its SHA-256 is not the signed one; restore it",
            code="model-changed",
        )
    if signature.ed25519 not in {key.ed25519 for key in trusted}:
        raise ModelRefused(
            "the model is signed by a key that is not trusted here; add the key to model_keys in VBQ_CONFIG",
            code="model-untrusted",
        )
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.ed25519, validate=True))
        public.verify(base64.b64decode(signature.signature, validate=True), content)
    except (InvalidSignature, ValueError) as error:
        raise ModelRefused(
            "the model's signature is wrong; restore the file or sign it again", code="model-signature"
        ) from error


def public_text(key: Ed25519PublicKey) -> str:
    """The public key as configuration and signatures write it: its 32 bytes in base64."""
    return base64.b64encode(key.public_bytes_raw()).decode("ascii")
