"""Who pushed this event: a bearer token that we know the hash of, or an HMAC of the body under a shared secret."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from schemas.config import Sender
from schemas.errors import NotConfigured


class Senders:
    """The configured senders and their secrets."""

    def __init__(self, senders: Sequence[Sender], environ: Mapping[str, str]) -> None:
        self._bearers: dict[bytes, Sender] = {}
        self._secrets: list[tuple[bytes, Sender]] = []
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

    def _add(self, sender: Sender, environ: Mapping[str, str]) -> None:
        hashes = [sender.bearer_sha256] if isinstance(sender.bearer_sha256, str) else sender.bearer_sha256 or []
        for text in hashes:
            if self._bearers.setdefault(bytes.fromhex(text), sender) is not sender:
                raise NotConfigured(
                    f"senders: {sender.name}: another sender has the same bearer_sha256; give each its own"
                )
        if sender.hmac_secret_env:
            secret = environ.get(sender.hmac_secret_env, "").encode()
            if not secret:
                raise NotConfigured(
                    f"senders: {sender.name}: the variable {sender.hmac_secret_env} must hold its HMAC secret"
                )
            self._secrets.append((secret, sender))
        if not hashes and not sender.hmac_secret_env:
            raise NotConfigured(
                f"senders: {sender.name}: tokens of an issuer are not checked for senders yet;"
                " give it bearer_sha256 or hmac_secret_env"
            )
