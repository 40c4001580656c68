"""A small EHR on loopback for tests: SMART configuration, an authorization server that approves at once, tokens.

It checks what a real one checks: client, redirect URI, PKCE, the launch that it began itself, and a code once only.
"""

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

from tests.loopback import LoopbackServer, serving

Json = dict[str, Any]


class SmartEhr:
    """What it knows and what it was asked. `login`: none, basic or key."""

    def __init__(self) -> None:
        self.base = ""
        self.client_id = "vbq-review"
        self.secret: str | None = None
        self.public_key: Any = None
        self.redirect_uri = "http://127.0.0.1:8080/callback"
        self.launches: dict[str, Json] = {}
        self.codes: dict[str, Json] = {}
        self.token_extra: Json = {}
        self.token_status = 200
        self.configuration: Json | None = None
        self.asked: list[str] = []

    def open_chart(self, patient: str | None, app_context: str | None = None) -> str:
        """A launch for the chart of `patient`, as a click on a card's link begins it; its launch parameter."""
        launch = secrets.token_urlsafe(8)
        self.launches[launch] = {"patient": patient, "appContext": app_context}
        return launch

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes next."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == self.client_id
        assert asked["redirect_uri"] == self.redirect_uri
        assert asked["aud"].rstrip("/") == self.base
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = {**self.launches.pop(asked["launch"]), "challenge": asked["code_challenge"]}
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str | None) -> tuple[int, Json]:
        """The token endpoint's answer."""
        if self.token_status != 200:
            return self.token_status, {"error": "server_error"}
        known = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            known is None
            or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != known["challenge"]
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != self.redirect_uri
            or not self._is_our_client(form, authorization)
        ):
            return 400, {"error": "invalid_grant"}
        context = {name: known[name] for name in ("patient", "appContext") if known[name] is not None}
        return 200, {
            "access_token": "made-up",
            "token_type": "Bearer",
            "scope": "launch",
            **context,
            **self.token_extra,
        }

    def _is_our_client(self, form: dict[str, str], authorization: str | None) -> bool:
        if self.public_key is not None:
            claims = jwt.decode(
                form["client_assertion"], self.public_key, algorithms=["ES384", "RS384"], audience=f"{self.base}/token"
            )
            return claims["iss"] == claims["sub"] == self.client_id and bool(claims["jti"])
        if self.secret is not None:
            expected = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
            return authorization == f"Basic {expected}"
        return form.get("client_id") == self.client_id and authorization is None


@contextlib.contextmanager
def smart_ehr() -> Iterator[SmartEhr]:
    """Serves until the block ends."""
    here = SmartEhr()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            if not self.path.endswith("/.well-known/smart-configuration"):
                self._say(404, {})
                return
            ours = {"authorization_endpoint": f"{here.base}/authorize", "token_endpoint": f"{here.base}/token"}
            document = {**ours, "code_challenge_methods_supported": ["S256"]}
            self._say(200, here.configuration if here.configuration is not None else document)

        def do_POST(self) -> None:
            here.asked.append(self.path)
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(raw).items()}
            self._say(*here.token(form, self.headers.get("Authorization")))

        def _say(self, status: int, document: Json) -> None:
            raw = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            return

    server = LoopbackServer(Handler)
    here.base = f"http://127.0.0.1:{server.port}/fhir"
    with serving(server):
        yield here


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
