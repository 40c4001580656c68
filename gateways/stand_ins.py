"""Stand-ins for the two systems on the other side, as the demo and the end-to-end tests need them.

`IntegrationEngine` pushes FHIR events with a bearer token; `OrderingEhr` calls CDS Hooks with a signed ES384 token per
request (CDS Hooks 2.0, "Trusting CDS Clients"). Both speak only HTTP, as the real ones do. Keys and tokens are made
afresh and made up.
"""

import base64
import hashlib
import json
import secrets
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import Unavailable

Json = dict[str, Any]


class Answer(NamedTuple):
    """What came back: HTTP status, JSON body (or {}), and the seconds it took."""

    status: int
    body: Json
    seconds: float


class Credentials:
    """A made-up bearer token and an ES384 key pair, with the part of the configuration that lets them in."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.token = f"made-up-{secrets.token_urlsafe(24)}"
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.key_id = uuid.uuid4().hex

    def jwks(self) -> Json:
        """The public key as a JWKS (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(48, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
        return {
            "keys": [{"kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": self.key_id, "x": x, "y": y}]
        }

    def write_config(self, directory: Path, *, fhir_base: str, study_roots: list[Path]) -> Path:
        """Write jwks.json and vbq.yaml into `directory`; returns the path for VBQ_CONFIG. JSON is YAML."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "jwks.json").write_text(json.dumps(self.jwks()))
        client = {"name": "demo-ehr", "issuer": self.issuer, "jwks_file": str(directory / "jwks.json")}
        config = {
            "senders": [{"name": "demo-engine", "bearer_sha256": hashlib.sha256(self.token.encode()).hexdigest()}],
            "cds_clients": [{**client, "algorithms": ["ES384"], "fhir_base_urls": [fhir_base]}],
            "study_roots": [str(root.resolve()) for root in study_roots],
        }
        path = directory / "vbq.yaml"
        path.write_text(json.dumps(config, indent=2))
        return path

    def client_token(self, audience: str) -> str:
        """A token for exactly one call: `aud` is the URL invoked, `jti` is fresh."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
        return jwt.encode(claims, self.key, algorithm="ES384", headers={"kid": self.key_id, "typ": "JWT"})


class _Caller:
    def __init__(self, base_url: str, credentials: Credentials) -> None:
        self.base_url = base_url.rstrip("/")
        self.credentials = credentials
        self.http = httpx.Client(timeout=30.0, follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def _call(self, method: str, path: str, token: str, body: Json | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        if path.startswith("/cds-services"):
            headers["Content-Type"] = "application/json"
        started = time.perf_counter()
        try:
            reply = self.http.request(
                method, self.base_url + path, headers=headers, content=json.dumps(body) if body is not None else None
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {path} got no answer ({type(error).__name__}); is the service up?") from error
        seconds = time.perf_counter() - started
        is_json = "json" in reply.headers.get("content-type", "")
        return Answer(reply.status_code, reply.json() if is_json and reply.content else {}, seconds)


class IntegrationEngine(_Caller):
    """Pushes FHIR resources as events, each on its own, and reads back what was made of them."""

    def push(self, resource: Json) -> Answer:
        """PUT /events/{Type}/{id}."""
        path = f"/events/{resource['resourceType']}/{resource['id']}"
        return self._call("PUT", path, self.credentials.token, resource)

    def read(self, path: str) -> Answer:
        """GET of anything that we serve."""
        return self._call("GET", path, self.credentials.token)


class OrderingEhr(_Caller):
    """Calls the CDS Hooks services at the moments at which an EHR does."""

    def discover(self) -> Answer:
        """GET /cds-services, with a token as every call."""
        path = "/cds-services"
        return self._call("GET", path, self.credentials.client_token(self.base_url + path))

    def call(self, service: str, hook: str, context: Json, prefetch: Json | None = None) -> Answer:
        """POST /cds-services/{service} for `hook`."""
        path = f"/cds-services/{service}"
        request: Json = {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context}
        if prefetch:
            request["prefetch"] = prefetch
        return self._call("POST", path, self.credentials.client_token(self.base_url + path), request)
