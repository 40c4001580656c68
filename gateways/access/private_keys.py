"""Our own private key for signing in elsewhere (private_key_jwt): a PEM file, a JWK or a JWKS."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from schemas.errors import NotConfigured

MAX_KEY_BYTES = 64 * 1024
MIN_RSA_BITS = 2048
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class SigningKey(NamedTuple):
    """A key, the algorithm that it signs with, and the name under which the other side knows its public half."""

    key: PrivateKey
    algorithm: Literal["RS384", "ES384"]
    kid: str


def read_signing_key(path: Path, key_id: str | None, setting: str) -> SigningKey:
    """The private key at `path`. `key_id` picks one of several and names a PEM key; `setting` is said in errors.

    Without a name the key is called by its RFC 7638 thumbprint. SMART Backend Services knows two algorithms: RS384
    for RSA (2048 bits or more), ES384 for EC on P-384. Raises NotConfigured, never repeating what the file holds.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotConfigured(
            f"{setting} cannot be read: {error.strerror}; check the path and who may read it"
        ) from error
    if len(raw) > MAX_KEY_BYTES:
        raise NotConfigured(f"{setting} is larger than {MAX_KEY_BYTES} bytes; is it a key?")
    key, name = _of_pem(raw, setting) if b"-----BEGIN" in raw else _of_jwks(raw, key_id, setting)
    algorithm = _algorithm(key, setting)
    return SigningKey(key, algorithm, key_id or name or thumbprint(key))


def thumbprint(key: PrivateKey) -> str:
    """The RFC 7638 thumbprint (SHA-256, base64url) of the public half of `key`."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        row = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        row = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    needed = {name: row[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in row}
    text = json.dumps(needed, separators=(",", ":"), sort_keys=True)
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _of_pem(raw: bytes, setting: str) -> tuple[PrivateKey, None]:
    try:
        key = load_pem_private_key(raw, password=None)
    except TypeError as error:
        raise NotConfigured(
            f"{setting} is encrypted; keep the key unencrypted in a file that only we may read"
        ) from error
    except ValueError as error:
        raise NotConfigured(
            f"{setting} is not a private key in PEM; a certificate or public key does not do"
        ) from error
    return _usable(key, setting), None


def _of_jwks(raw: bytes, key_id: str | None, setting: str) -> tuple[PrivateKey, str | None]:
    try:
        document = json.loads(raw)
        rows = document.get("keys", [document])
        private = [row for row in rows if "d" in row and row.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotConfigured(f"{setting} is neither PEM nor a JWK or JWKS; correct the file") from error
    named = [row for row in private if key_id is None or row.get("kid") == key_id]
    if len(named) != 1:
        wanted = "one of them is to be named by key_id" if key_id is None else "none or several have the key_id"
        raise NotConfigured(f"{setting} holds {len(private)} private keys for signatures; {wanted}")
    return _of_jwk(named[0], setting), _text(named[0].get("kid"))


def _of_jwk(row: Mapping[str, Any], setting: str) -> PrivateKey:
    try:
        return _usable(jwt.PyJWK(dict(row), algorithm="RS384" if row.get("kty") == "RSA" else "ES384").key, setting)
    except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
        raise NotConfigured(f"{setting} holds a JWK that is no RSA or EC private key; make it anew") from error


def _usable(key: object, setting: str) -> PrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise NotConfigured(f"{setting} holds a key that is neither RSA nor EC; RS384 and ES384 need one of these")
    return key


def _algorithm(key: PrivateKey, setting: str) -> Literal["RS384", "ES384"]:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise NotConfigured(f"{setting}: RSA of {key.key_size} bits is too short; take 2048 or more")
        return "RS384"
    if key.curve.name != "secp384r1":
        raise NotConfigured(
            f"{setting}: the curve is {key.curve.name}; SMART Backend Services signs with P-384 (ES384)"
        )
    return "ES384"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
