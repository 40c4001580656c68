"""Keys, tokens and the app over a real SQLite file."""

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

BASE = "http://127.0.0.1:8080"


class Signer:
    """A CDS client's private key: makes its JWKS and its tokens."""

    def __init__(self, issuer: str = "https://sandbox.example", algorithm: str = "ES384") -> None:
        self.issuer, self.algorithm, self.kid = issuer, algorithm, uuid.uuid4().hex
        curves = {"ES384": ec.SECP384R1(), "ES256": ec.SECP256R1()}
        self.key = (
            ec.generate_private_key(curves[algorithm])
            if algorithm in curves
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def jwk(self) -> dict[str, Any]:
        public = self.key.public_key()
        make = (
            jwt.algorithms.ECAlgorithm if isinstance(public, ec.EllipticCurvePublicKey) else jwt.algorithms.RSAAlgorithm
        )
        return {**make.to_jwk(public, as_dict=True), "kid": self.kid, "use": "sig"}

    def token(self, url: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token for `url`; a claim given as None is left out."""
        now = int(time.time())
        every = {"iss": self.issuer, "aud": url, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **claims}
        return jwt.encode(
            {name: value for name, value in every.items() if value is not None},
            self.key,
            algorithm=self.algorithm,
            headers={"kid": self.kid, "typ": "JWT", **(header or {})},
        )


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def make_signer() -> Callable[..., Signer]:
    return Signer


@pytest.fixture
def write_jwks(tmp_path: Path) -> Callable[..., Path]:
    """Writes a JWKS file of the given signers or JWKs and returns its path."""

    def write(*rows: Signer | dict[str, Any], name: str = "jwks.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"keys": [row.jwk() if isinstance(row, Signer) else row for row in rows]}))
        return path

    return write
