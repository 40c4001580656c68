"""Public keys of CDS clients: JWKS files, read again when they change on disk (keys rotate without a restart).

Keys behind an address: gateways/access/remote_keys.py.
"""

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schemas.errors import NotConfigured

MAX_JWKS_BYTES = 256 * 1024
MIN_RSA_BITS = 2048
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1"}


class PublicKey(NamedTuple):
    """One usable key and what its JWK says of it."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    algorithm: str | None

    def fits(self, algorithm: str) -> bool:
        """Whether a signature by `algorithm` (a JWS name such as ES384) can be of this key."""
        if self.algorithm not in (None, algorithm):
            return False
        if isinstance(self.key, ec.EllipticCurvePublicKey):
            return CURVES.get(algorithm) == self.key.curve.name
        return algorithm in {"RS256", "RS384"} and self.key.key_size >= MIN_RSA_BITS


def read_jwks(path: Path) -> Mapping[str, PublicKey]:
    """The RSA and EC public keys of the JWKS at `path`, by `kid`. Raises NotConfigured where it cannot be read, and
    as `parse_jwks` does.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotConfigured(f"jwks_file cannot be read: {error.strerror}; check the path") from error
    return parse_jwks(raw, "jwks_file")


def parse_jwks(raw: bytes, name: str) -> Mapping[str, PublicKey]:
    """The RSA and EC public keys in `raw`, by `kid`; `name` says in errors which setting led here.

    Raises NotConfigured where it is not a JWKS, holds a private or symmetric key, or names no usable key. Keys for
    encryption and of other types are passed over.
    """
    if len(raw) > MAX_JWKS_BYTES:
        raise NotConfigured(f"{name} is larger than {MAX_JWKS_BYTES} bytes; is it a JWKS?")
    try:
        rows = json.loads(raw)["keys"]
        keys = {row["kid"]: parse_jwk(row) for row in rows if is_for_signatures(row, name)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError) as error:
        raise NotConfigured(f"{name} is not a JWKS of RSA and EC keys, each with a kid; correct it") from error
    if not keys:
        raise NotConfigured(f"{name} holds no RSA or EC public key for signatures; no token could be checked with it")
    return keys


def is_for_signatures(row: Mapping[str, Any], name: str = "jwks_file") -> bool:
    """Whether the JWK `row` is an asymmetric key that is not kept for encryption."""
    if row["kty"] == "oct" or "d" in row:
        raise NotConfigured(f"{name} holds a private or symmetric key; it must hold public keys only")
    return row["kty"] in {"RSA", "EC"} and row.get("use", "sig") == "sig"


def parse_jwk(row: Mapping[str, Any]) -> PublicKey:
    """The key of one JWK."""
    key = jwt.PyJWK(dict(row), algorithm=row.get("alg") or None).key
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise TypeError("not a public RSA or EC key")
    return PublicKey(key, row.get("alg"))


class KeyFile:
    """The keys of one JWKS file, as the file is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._keys = read_jwks(path)

    def find(self, kid: str) -> PublicKey | None:
        """The key called `kid`; a changed file is read first. A file that became unreadable leaves the old keys."""
        stamp = self._stamp()
        if stamp not in (None, self._seen):
            with self._lock:
                with contextlib.suppress(NotConfigured):  # half written: the next stamp is another try
                    self._keys = read_jwks(self._path)
                self._seen = stamp
        return self._keys.get(kid)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size
