"""SMART Backend Services (SMART App Launch 2.2): a signed assertion in, a short-lived access token out.

Or plain OAuth2 client credentials with a secret (RFC 6749 sections 2.3.1 and 4.4), as archives often have it.

The assertion is new for each request (`jti`), for this token endpoint alone (`aud`) and lives for four minutes. The
token is kept in memory until shortly before it ends. Neither is ever logged or stored.
"""

import base64
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

import jwt

from gateways.access.private_keys import SigningKey
from gateways.outgoing.origins import origin_of, same_origin
from gateways.outgoing.retry_after import retry_after_s
from schemas.errors import EhrUnavailable, NotConfigured, Rejected
from schemas.fhir.parse import parse_json

if TYPE_CHECKING:
    import httpx

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 240
SHORTEST_KEPT_SECONDS = 5.0
UNSTATED_SECONDS = 300.0  # where the server does not say how long its token lives
LEAD_SECONDS = 30.0  # a token is renewed so long before its end, or at half its life where that is shorter
MAX_REPLY_BYTES = 64 * 1024
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_CODE = re.compile(r"[a-z_]{1,40}")

OpenHttp = Callable[[list[str]], "httpx.Client"]
Clock = Callable[[], float]


class BackendServices:
    """The access token of one client at one FHIR server. Safe to share between threads."""

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        key: SigningKey | str,
        scopes: str,
        open_http: OpenHttp,
        token_url: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        """`key` signs assertions; a string is a client secret instead, sent by HTTP Basic. `open_http` makes a client
        that reaches the origins of the URLs it is given. Without `token_url` the server's
        .well-known/smart-configuration is asked once; an endpoint at another origin than the server's is refused then.
        """
        self._base = base_url.rstrip("/")
        self._client_id = client_id
        self._key = key
        self._scopes = scopes
        self._open = open_http
        self._token_url = token_url
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0

    def token(self) -> str:
        """The access token in force, a new one where none is. Raises EhrUnavailable, NotConfigured."""
        with self._lock:  # one caller asks, the others wait for its token
            if self._token is None or self._clock() >= self._until:
                self._token, seconds = self._ask()
                self._until = self._clock() + seconds
            return self._token

    def forget(self, token: str) -> None:
        """`token` was refused: the next call asks for another one, unless somebody did already."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _ask(self) -> tuple[str, float]:
        """(token, seconds for which to keep it)."""
        if self._token_url is None:
            self._token_url = self._discover()
        form = {"grant_type": "client_credentials"} | ({"scope": self._scopes} if self._scopes else {})
        if isinstance(self._key, SigningKey):
            form |= {
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self._assertion(self._key, self._token_url),
            }
        status, headers, document = self._call("POST", self._token_url, form)
        if status == 429 or status >= 500:
            wait = retry_after_s(headers.get("Retry-After"), now=self._clock())
            raise EhrUnavailable(f"the token endpoint answered {status}; it is asked again", retry_after_s=wait)
        if status != 200:
            raise EhrUnavailable(
                f"the token endpoint answered {status} ({_oauth_code(document)}); check client_id and scopes, and "
                "client_secret_env, or key_file and key_id (our public key must be registered there)",
                code="ehr-login",
            )
        return _token_of(document)

    def _assertion(self, key: SigningKey, token_url: str) -> str:
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": token_url,
            "exp": int(self._clock()) + ASSERTION_SECONDS,
            "jti": str(uuid.uuid4()),
        }
        headers = {"kid": key.kid, "typ": "JWT"}
        return jwt.encode(claims, key.key, algorithm=key.algorithm, headers=headers)

    def _discover(self) -> str:
        status, _, document = self._call("GET", f"{self._base}/.well-known/smart-configuration", None)
        if status == 429 or status >= 500:
            raise EhrUnavailable(f"the FHIR server's smart-configuration answered {status}; it is asked again")
        found = document.get("token_endpoint") if status == 200 else None
        if not isinstance(found, str) or (origin := origin_of(found)) is None:
            raise NotConfigured("the FHIR server does not say where its token endpoint is; set auth.token_url")
        if not same_origin(found, self._base):
            raise NotConfigured(
                f"the FHIR server names a token endpoint at another origin ({origin.scheme}://{origin.host}); "
                "if that is right, set auth.token_url to it"
            )
        return found

    def _call(self, method: str, url: str, form: dict[str, str] | None) -> tuple[int, Any, dict[str, Any]]:
        """(status, headers, JSON object; {} where the reply is none)."""
        import httpx

        refuse_plain(url)
        headers = {"Accept": "application/json"}
        if form is not None and isinstance(self._key, str):
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._key)}"  # RFC 6749 section 2.3.1
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            with (
                self._open([url]) as client,
                client.stream(method, url, data=form, headers=headers) as reply,
            ):
                body = b""
                for part in reply.iter_bytes():
                    body += part
                    if len(body) > MAX_REPLY_BYTES:
                        raise EhrUnavailable("the token endpoint's reply is larger than 64 KiB", code="ehr-login")
                status, told = reply.status_code, reply.headers
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EhrUnavailable(f"the token endpoint did not answer ({type(error).__name__})") from error
        try:
            return status, told, parse_json(body)
        except Rejected:
            return status, told, {}


def refuse_plain(url: str) -> None:
    """Raise NotConfigured where a secret would cross a network in the clear."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise NotConfigured("a login over plain http would show its secret to the network; use an https address")


def _token_of(document: dict[str, Any]) -> tuple[str, float]:
    token, kind, seconds = document.get("access_token"), document.get("token_type"), document.get("expires_in")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise EhrUnavailable("the token endpoint's reply holds no access_token", code="ehr-login")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise EhrUnavailable("the token endpoint gave a token that is not of type bearer", code="ehr-login")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds)  # some servers quote it
    life = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else UNSTATED_SECONDS
    return token, max(SHORTEST_KEPT_SECONDS, life - min(LEAD_SECONDS, life / 2))


def _oauth_code(document: dict[str, Any]) -> str:
    code = document.get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "no OAuth error code"
