"""Who may call what. Nobody is let in who is not configured; VBQ_DEV_OPEN=1 lets everybody in, on loopback only.

Senders push events (bearer token or HMAC), CDS clients call the hooks (signed tokens), both may read what we made.
A refusal is a 401 that says which check failed, never what was sent.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Unauthorized

from gateways.access.replay import SharedSeenTokens
from gateways.settings import LOOPBACK, Settings
from schemas.config import Config, Sender
from schemas.fhir.reference import patient_key
from services import asked
from services.access_tokens import AccessTokens
from services.rates import Rates
from services.senders import NotProven, Senders, Webhook
from services.tokens import TokenRefused, Tokens

log = logging.getLogger(__name__)
PATHS = ("", "/events")  # what an access token may be for: all of us, or intake
HOW = (
    "send `Authorization: Bearer ...`, the headers of Standard Webhooks, or `X-Signature` with the hex HMAC-SHA256 of "
    "the body (a body must be there)"
)
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Caller(NamedTuple):
    """Somebody who was let in."""

    name: str
    kind: Literal["sender", "cds-client", "open"]
    bases: tuple[str, ...] = ()
    """FHIR bases whose patients the caller may speak of, without a slash at the end; empty: not restricted."""
    resource_types: frozenset[str] | None = None
    """Types that a sender may push; None: every type that matters."""
    aliases: tuple[str, ...] = ()
    """Other URLs of a sender's base."""
    readable: bool = False
    """Whether we may read at a sender's base."""
    private_network: bool = False
    """Whether the names of a CDS client's bases may lead to private addresses."""


OPEN = Caller("default", "open")


def refused(why: str) -> Unauthorized:
    """A 401 whose text says which check failed."""
    challenge = WWWAuthenticate("bearer", {"realm": "vbq-cds"})
    return Unauthorized(description=f"not authenticated: {why}", www_authenticate=challenge)


def bearer(request: asked.Caller) -> str | None:
    """The bearer token of `request`; None where there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


class Gate:
    """Decides who is let in. One per process; made at its start, where a wrong configuration stops it."""

    def __init__(self, settings: Settings, config: Config, environ: Mapping[str, str]) -> None:
        self.bases = tuple({base for sender in config.senders for base in bases_of(sender)})
        """FHIR bases of the senders: whose patients there are."""
        self.several = len(self.bases) > 1
        self._aliases = {
            alias.rstrip("/"): sender.fhir_base_url.rstrip("/")
            for sender in config.senders
            if sender.fhir_base_url
            for alias in sender.base_aliases
        }
        self.clients = tuple(config.cds_clients)
        self._open = settings.dev_open
        self._senders = Senders(config.senders, environ)
        self._access = AccessTokens(config.senders, [f"{base}{path}" for base in audiences(settings) for path in PATHS])
        self._rates = Rates(config.senders)
        self._tokens = Tokens(config.cds_clients, SharedSeenTokens(settings))
        self._discovery_open = config.cds.discovery == "open"
        self._audiences = audiences(settings)
        self._hosts = LOOPBACK | {urlsplit(settings.base_url).hostname}
        if self._open:
            log.warning("VBQ_DEV_OPEN=1: AUTHENTICATION IS OFF. Anybody on this machine can read and write everything.")
        elif not (config.senders or config.cds_clients):
            log.warning(
                "no sender and no CDS client is configured: every call will get 401 (VBQ_CONFIG, docs/configuration.md)"
            )

    def chart(self, patient_id: str, server: str | None) -> str:
        """The key of the patient that an EHR calls `patient_id`. `server`: the FHIR base that it named, where it did.

        Where events come from one FHIR server, a patient of any other one is somebody else, whatever her id. Raises
        NotAcceptable where events come from several and `server` is None.
        """
        base = self._aliases.get(server, server) if server else None
        if self.several or not self.bases or base is None:
            return patient_key(f"Patient/{patient_id}", base, self.several)
        return patient_key(f"{base}/Patient/{patient_id}", self.bases[0], several=False)

    def sender(self, request: asked.Caller, body: bytes) -> Caller:
        """The sender of an event with the raw `body`."""
        token, signature = self._by_token(request), self._by_signature(request, body)
        if isinstance(token, Sender) and isinstance(signature, NotProven) and token.hmac_secret_env:
            raise refused(signature.why)  # it signs, and this signature is not its own
        if isinstance(token, Sender) and isinstance(signature, Sender) and token is not signature:
            raise refused("the bearer token and the signature are those of different senders")
        for found in (token, signature):
            if isinstance(found, Sender):
                self._rates.check(found.name)
                return caller_of(found)
        if self._open:
            return self._passer_by(request)
        why = [found.why for found in (token, signature) if isinstance(found, NotProven)]
        raise refused("; ".join(why) or HOW)

    def _by_token(self, request: asked.Caller) -> Sender | NotProven | None:
        """None where no token was sent. Raises Unavailable where an issuer's keys cannot be fetched now."""
        token = bearer(request)
        if not token:
            return None
        found = self._senders.by_token(token)
        if found is not None:
            return found
        if not self._access or token.count(".") != 2:
            return NotProven("the bearer token is not that of a configured sender")
        try:
            return self._access.by_token(token)
        except TokenRefused as error:
            return NotProven(f"the access token was refused: {error.why}")

    def _by_signature(self, request: asked.Caller, body: bytes) -> Sender | NotProven | None:
        """None where nothing was signed."""
        headers = request.headers
        if "webhook-signature" in headers:
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            try:
                return self._senders.by_webhook(Webhook(*(headers.get(name, "") for name in names)), body)
            except NotProven as error:
                return error
        signature = headers.get("X-Signature")
        if signature is None or not body:
            return None
        return self._senders.by_signature(signature, body) or NotProven(
            "X-Signature is not the HMAC of this body under the secret of a configured sender"
        )

    def may_wait(self, request: asked.Caller) -> bool:
        """Whether to tell the sender may take its issuer's keys, which are fetched."""
        if not self._access:
            return False
        token = bearer(request)
        return token is not None and token.count(".") == 2 and self._senders.by_token(token) is None

    def client(self, request: asked.Caller) -> Caller:
        """The CDS client behind a hook call or discovery."""
        token = bearer(request)
        if token is None or self._open:
            # In development the sandbox's tokens are for its own idea of our URL; they are not looked at.
            return self._passer_by(request)
        try:
            client = self._tokens.check(token, [base + request.path for base in self._audiences])
        except TokenRefused as error:
            raise refused(f"the token was refused: {error.why}") from error
        bases = tuple(base.rstrip("/") for base in client.fhir_base_urls)
        return Caller(client.name, "cds-client", bases, private_network=client.private_network)

    def discoverer(self, request: asked.Caller) -> Caller:
        """Who may read the discovery: CDS clients, or everybody where the site says so (cds.discovery)."""
        return OPEN if self._discovery_open else self.client(request)

    def reader(self, request: asked.Caller) -> Caller:
        """Who reads what we made: a sender by bearer or access token, or a CDS client."""
        token = bearer(request)
        found = self._senders.by_token(token) if token else None
        if found is None and token and self._access.issued(token):
            proven = self._by_token(request)
            if isinstance(proven, NotProven):
                raise refused(proven.why)
            found = proven
        return caller_of(found) if found else self.client(request)

    def _passer_by(self, request: asked.Caller) -> Caller:
        """Somebody without credentials, who gets in in development alone."""
        if not self._open:
            raise refused("send `Authorization: Bearer` with a token")
        if hostname_of(request.host) not in self._hosts:
            # A page on the web may point its own name at 127.0.0.1 and read this service through a browser.
            raise BadRequest("in development mode the Host header must name this machine's loopback address")
        return OPEN


@lru_cache(maxsize=16)
def hostname_of(host: str) -> str | None:
    """The name in a Host header, without its port."""
    return urlsplit(f"//{host}").hostname


def caller_of(sender: Sender) -> Caller:
    """The caller that `sender` is."""
    types = None if sender.resource_types is None else frozenset(sender.resource_types)
    readable = sender.fhir_base_url is not None and sender.reads is not None
    return Caller(sender.name, "sender", bases_of(sender), types, tuple(sender.base_aliases), readable)


def bases_of(sender: Sender) -> tuple[str, ...]:
    """The sender's FHIR base without a slash at its end; none where none is configured."""
    return (sender.fhir_base_url.rstrip("/"),) if sender.fhir_base_url else ()


def audiences(settings: Settings) -> Sequence[str]:
    """The base URLs that a token may be for. The request's Host header is never asked: its sender chooses it."""
    if settings.public_url or settings.host not in LOOPBACK:
        return [settings.base_url]
    return [f"http://{name}:{settings.port}" for name in LOOPBACK_NAMES]
