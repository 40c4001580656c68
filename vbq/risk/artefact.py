"""Reading and writing a model file: canonical JSON (RFC 8785), its SHA-256 digest, and the parsing of hostile bytes."""

import hashlib
import json
from typing import Any

import rfc8785
from pydantic import ValidationError

from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from schemas.record import problems_of

MAX_BYTES = 32 * 2**20  # a Cox baseline of 1e5 event times is about 10 MB


def canonical(model: ModelArtefact) -> bytes:
    """`model` as RFC 8785 JSON: the bytes that are signed and digested, the same on every machine."""
    return canonical_json(model.model_dump(mode="json"))


def canonical_json(document: Any) -> bytes:
    """Any JSON value as RFC 8785. Raises ModelRefused for what JSON cannot hold (NaN, integers above 2^53)."""
    try:
        return rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise ModelRefused(f"the model cannot be written as canonical JSON: {error}") from error


def digest(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes) -> ModelArtefact:
    """The model in `content`. Raises ModelRefused, naming the place and never a value.

    Verify the signature first (vbq/risk/signature.py); this checks form, not origin.
    """
    try:
        return ModelArtefact.model_validate(read_json(content))
    except ValidationError as error:
        places = "; ".join(f"{path}: {text}" for path, text in problems_of(error)[:5])
        raise ModelRefused(f"the file is not a model of schema version 1: {places}") from error


def read_json(content: bytes) -> Any:
    """Strict JSON: UTF-8, no duplicate keys, no NaN or infinities, not too deep, not too large."""
    if len(content) > MAX_BYTES:
        raise ModelRefused(f"the model file is larger than {MAX_BYTES} bytes")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ModelRefused(f"the model file is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ModelRefused(f"the model file is not JSON at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise ModelRefused("the model file is nested too deeply to be a model") from error


def is_canonical(content: bytes) -> bool:
    """Whether `content` is its own canonical form: then the digest of the file is the digest of the model."""
    return canonical_json(read_json(content)) == content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ModelRefused("the model file has the same key twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ModelRefused(f"the model file holds {word}, which is not JSON")
