"""Who pushed this event: a bearer token that we know the hash of, an access token, or an HMAC under a shared secret.

Two kinds of HMAC: Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), whose time and id are under the
signature, and X-Signature, hex HMAC-SHA256 of the raw body alone.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from schemas.config import Sender
from schemas.errors import NotConfigured

TOLERANCE_SECONDS = 300
MOST_SIGNATURES = 16
MAX_ID_CHARS = 256
PREFIX = "whsec_"


class Webhook(NamedTuple):
    """The three headers of Standard Webhooks."""

    id: str
    timestamp: str
    signatures: str


class NotProven(Exception):
    """What was sent proves nothing; `why` is a sentence fit for a reply."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Senders:
    """The configured senders and their secrets."""

    def __init__(
        self, senders: Sequence[Sender], environ: Mapping[str, str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._bearers: dict[bytes, Sender] = {}
        self._secrets: list[tuple[bytes, Sender]] = []  # of X-Signature
        self._webhooks: list[tuple[bytes, Sender]] = []
        self._names: set[str] = set()
        for sender in senders:
            self._add(sender, environ)

    def by_token(self, token: str) -> Sender | None:
        """The sender whose bearer token this is. Every hash is compared, in constant time each."""
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for known, sender in self._bearers.items():
            if hmac.compare_digest(known, digest):
                found = sender
        return found

    def by_signature(self, signature: str, body: bytes) -> Sender | None:
        """The sender whose secret made `signature`, the hex HMAC-SHA256 of the raw `body`.

        The HMAC of an empty body is the same for every address, so it proves nothing and is never accepted.
        """
        stated = signature.removeprefix("sha256=").strip().lower().encode()
        if not body:
            return None
        found = None
        for secret, sender in self._secrets:
            if hmac.compare_digest(hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), stated):
                found = sender
        return found

    def by_webhook(self, webhook: Webhook, body: bytes) -> Sender:
        """The sender whose secret made one of the `v1` signatures. Raises NotProven, saying what is wrong.

        Other versions of signatures are passed over, as the specification asks. A body may be empty: id and time are
        signed with it.
        """
        if not 0 < len(webhook.id) <= MAX_ID_CHARS or "." in webhook.id:
            raise NotProven("webhook-id is empty, too long or has a dot in it")
        if not (webhook.timestamp.isascii() and webhook.timestamp.isdecimal() and len(webhook.timestamp) <= 12):
            raise NotProven("webhook-timestamp is no whole number of seconds since 1970")
        if abs(self._clock() - int(webhook.timestamp)) > TOLERANCE_SECONDS:
            raise NotProven(f"webhook-timestamp is more than {TOLERANCE_SECONDS} s away from our clock")
        stated = [part[3:].encode() for part in webhook.signatures.split()[:MOST_SIGNATURES] if part.startswith("v1,")]
        signed = f"{webhook.id}.{webhook.timestamp}.".encode() + body
        found = None
        for secret, sender in self._webhooks:
            made = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest())
            if any(hmac.compare_digest(made, one) for one in stated):
                found = sender
        if found is None:
            raise NotProven("no v1 signature in webhook-signature is that of a configured sender")
        return found

    def _add(self, sender: Sender, environ: Mapping[str, str]) -> None:
        if sender.name in self._names:
            raise NotConfigured(f"senders: two are called {sender.name}; give each its own name")
        self._names.add(sender.name)
        for text in as_list(sender.bearer_sha256):
            if self._bearers.setdefault(bytes.fromhex(text), sender) is not sender:
                raise NotConfigured(
                    f"senders: {sender.name}: another sender has the same bearer_sha256; give each its own"
                )
        for name in as_list(sender.hmac_secret_env):
            self._add_secret(sender, name, environ.get(name, ""))

    def _add_secret(self, sender: Sender, name: str, secret: str) -> None:
        if not secret:
            raise NotConfigured(f"senders: {sender.name}: the variable {name} must hold its HMAC secret")
        key = secret.encode()
        if secret.startswith(PREFIX):
            try:
                key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
            except binascii.Error as error:
                raise NotConfigured(
                    f"senders: {sender.name}: the variable {name} begins with {PREFIX} but is not base64 after it"
                ) from error
        if any(hmac.compare_digest(key, other) and owner is not sender for other, owner in self._webhooks):
            raise NotConfigured(f"senders: {sender.name}: another sender has the secret in {name}; give each its own")
        self._webhooks.append((key, sender))
        if not secret.startswith(PREFIX):
            self._secrets.append((key, sender))


def as_list(value: str | Sequence[str] | None) -> Sequence[str]:
    """One, several or none as a list."""
    return [value] if isinstance(value, str) else value or []
