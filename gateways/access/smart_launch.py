"""SMART App Launch 2.2 as seen from the app: where an EHR's authorization server is, and a code for a context.

Only EHRs that are configured are asked. The access token itself is let go of at once: the page needs to know whose
chart is open and shows what is stored here.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from gateways.settings import LOOPBACK
from schemas.config import SmartApp
from schemas.errors import EhrUnavailable, Forbidden, NotConfigured
from schemas.fhir.reference import ID

if TYPE_CHECKING:
    import httpx

FRESH_SECONDS: Final = 3600.0
REPLY_SECONDS: Final = 5.0
MOST_BYTES: Final = 2**18
ASSERTION_SECONDS: Final = 240
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Json = dict[str, Any]


class Endpoints(NamedTuple):
    """Of an authorization server."""

    authorize: str
    token: str


class LaunchContext(NamedTuple):
    """What the EHR says is open: the id of a Patient on its server, and the appContext of the card's link."""

    patient_id: str
    app_context: str | None


class SmartServer:
    """The authorization server of one FHIR base. Safe to share between threads."""

    def __init__(
        self,
        base: str,
        app: SmartApp,
        *,
        private_network: bool,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises NotConfigured where the secret or key that the configuration names is not there."""
        self.base = base
        self.app = app
        self._private_network = private_network
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, Endpoints] | None = None
        self._secret = _secret(app, environ)
        self._key = _key(app)

    def endpoints(self) -> Endpoints:
        """From `.well-known/smart-configuration`, kept for an hour. Raises EhrUnavailable."""
        with self._lock:
            if self._known is not None and self._clock() - self._known[0] < FRESH_SECONDS:
                return self._known[1]
        document = self._ask("GET", f"{self.base}/.well-known/smart-configuration", "its SMART configuration")
        found = [document.get(name) for name in ("authorization_endpoint", "token_endpoint")]
        authorize, token = (url if isinstance(url, str) and _safe(url) else None for url in found)
        if authorize is None or token is None:
            raise EhrUnavailable(
                "the EHR's SMART configuration names no https authorization_endpoint and token_endpoint", code="smart"
            )
        if "S256" not in (document.get("code_challenge_methods_supported") or ["S256"]):
            raise EhrUnavailable("the EHR's authorization server does not take PKCE with S256", code="smart")
        made = Endpoints(authorize, token)
        with self._lock:
            self._known = (self._clock(), made)
        return made

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> LaunchContext:
        """Whose chart is open, for an authorization code.

        Raises Forbidden where the EHR refuses it or names no patient, EhrUnavailable where it does not answer.
        """
        url = self.endpoints().token
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if self._key is not None:
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(url)}
        elif self._secret is not None:
            headers["Authorization"] = _basic(self.app.client_id, self._secret)
        else:
            form["client_id"] = self.app.client_id
        answer = self._ask("POST", url, "a token", form=form, headers=headers)
        patient, context = answer.get("patient"), answer.get("appContext")
        if not isinstance(patient, str) or not ID.fullmatch(patient):
            raise Forbidden(
                "the EHR named no patient with its token; the app's registration must allow the scope `launch`",
                code="smart-no-patient",
            )
        return LaunchContext(patient, context if isinstance(context, str) else None)

    def _assertion(self, audience: str) -> str:
        import jwt

        now = int(time.time())
        claims = {"iss": self.app.client_id, "sub": self.app.client_id, "aud": audience, "jti": str(uuid.uuid4())}
        headers = {"kid": self.app.key_id} if self.app.key_id else {}
        algorithm = "RS384" if _is_rsa(self._key) else "ES384"
        return jwt.encode(
            {**claims, "iat": now, "exp": now + ASSERTION_SECONDS}, self._key, algorithm=algorithm, headers=headers
        )

    def _ask(
        self, method: str, url: str, what: str, *, form: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        """One request; its JSON object."""
        import httpx

        from gateways.outgoing.reach import open_client

        accept = {"Accept": "application/json", **(headers or {})}
        raw = b""
        try:
            with (
                open_client([url], private_network=self._private_network, timeout=REPLY_SECONDS) as client,
                client.stream(method, url, data=form, headers=accept) as reply,
            ):
                for part in reply.iter_bytes():
                    raw += part
                    if len(raw) > MOST_BYTES:
                        raise EhrUnavailable(f"the EHR's answer to a request for {what} is too large", code="smart")
                return _document(reply, raw, what)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EhrUnavailable(
                f"the EHR did not answer a request for {what} ({type(error).__name__})", code="smart"
            ) from error


def _document(reply: "httpx.Response", raw: bytes, what: str) -> Json:
    if 400 <= reply.status_code < 500:
        raise Forbidden(f"the EHR refused {what} ({reply.status_code}); open the page from the EHR again", code="smart")
    if reply.status_code != 200:
        raise EhrUnavailable(f"the EHR answered {reply.status_code} to a request for {what}", code="smart")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise EhrUnavailable(f"the EHR's answer to a request for {what} is not JSON", code="smart") from error
    if not isinstance(document, dict):
        raise EhrUnavailable(f"the EHR's answer to a request for {what} is no JSON object", code="smart")
    return document


def _safe(url: str) -> bool:
    """https, or this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749, 2.3.1: both parts are form-encoded first."""
    import base64

    return "Basic " + base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()


def _secret(app: SmartApp, environ: Mapping[str, str]) -> str | None:
    if app.client_secret_env is None:
        return None
    if not environ.get(app.client_secret_env):
        raise NotConfigured("cds_clients.smart.client_secret_env names an environment variable that is empty; set it")
    return environ[app.client_secret_env]


def _key(app: SmartApp) -> Any:
    if app.key_file is None:
        return None
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(app.key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise NotConfigured("cds_clients.smart.key_file is no readable PEM private key without a password") from error
    fits = isinstance(key, rsa.RSAPrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    )
    if not fits:
        raise NotConfigured("cds_clients.smart.key_file must hold an RSA or a P-384 key (RS384, ES384)")
    return key


def _is_rsa(key: Any) -> bool:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return isinstance(key, rsa.RSAPrivateKey)
