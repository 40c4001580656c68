"""OAuth2 access tokens of senders (client credentials): JWTs of an authorization server, checked against its keys.

Unlike a CDS client's token, which is made for one call, an access token is used again until it expires (RFC 9068), so
one that was checked is remembered for a short while; a key that is taken out of the JWKS counts until then.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateways.access.keys import KeyFile
from gateways.access.remote_keys import Fetch, RemoteKeys, fetch_jwks
from schemas.config import Sender
from schemas.errors import NotConfigured
from services.tokens import LEEWAY_SECONDS, MAX_TOKEN_BYTES, KeySet, TokenRefused, checked_claims, unverified

REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 1024
CLIENT_CLAIMS = ("client_id", "azp", "sub")
KINDS = frozenset({"JWT", "AT+JWT", "APPLICATION/AT+JWT"})


class AccessTokens:
    """The senders that come with tokens of an issuer."""

    def __init__(
        self,
        senders: Sequence[Sender],
        audiences: Sequence[str],
        *,
        fetch: Fetch = fetch_jwks,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`audiences`: what `aud` may be where a sender's configuration names none."""
        self._senders = [sender for sender in senders if sender.issuer]
        self._audiences = audiences
        self._clock = clock
        self._keys = {sender.name: _keys(sender, fetch) for sender in self._senders}
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[Sender, float]] = {}
        for sender in self._senders:
            same = [one for one in self._senders if one.issuer == sender.issuer]
            if len({one.client_id for one in same if one.client_id}) < len(same) > 1:
                raise NotConfigured(f"senders: {sender.name}: another sender has this issuer; give each its client_id")

    def __bool__(self) -> bool:
        return bool(self._senders)

    def issued(self, token: str) -> bool:
        """Whether `token` says that it is of an issuer of ours; nothing is checked."""
        if not self._senders or len(token) > MAX_TOKEN_BYTES:
            return False
        try:
            _, claimed = unverified(token)
        except TokenRefused:
            return False
        return any(sender.issuer == claimed.get("iss") for sender in self._senders)

    def by_token(self, token: str) -> Sender:
        """The sender that `token` was issued to. Raises TokenRefused; Unavailable where keys cannot be fetched now."""
        name, now = hashlib.sha256(token.encode()).digest(), self._clock()
        known = self._known.get(name)
        if known is not None and known[1] > now:
            return known[0]
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        header, claimed = unverified(token)
        sender = self._sender(claimed)
        claims = self._check(token, header, sender)
        until = min(now + REMEMBERED_SECONDS, claims["exp"] + LEEWAY_SECONDS)
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[name] = (sender, until)
        return sender

    def _sender(self, claimed: Mapping[str, Any]) -> Sender:
        """The sender that the unverified claims point to; its issuer's keys then prove it."""
        whose = {value for name in CLIENT_CLAIMS if isinstance(value := claimed.get(name), str)}
        for sender in self._senders:
            if sender.issuer == claimed.get("iss") and (sender.client_id is None or sender.client_id in whose):
                return sender
        raise TokenRefused("no configured sender has its `iss` and `client_id`")

    def _check(self, token: str, header: Mapping[str, Any], sender: Sender) -> dict[str, Any]:
        if header.get("alg") not in sender.algorithms:
            raise TokenRefused("its `alg` is not one that this sender is configured for")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.upper() not in KINDS:
            raise TokenRefused("its `typ` is not that of an access token")
        assert sender.issuer is not None, "only senders with an issuer are asked"
        return checked_claims(
            token,
            dict(header),
            self._keys[sender.name],
            issuer=sender.issuer,
            audience=sender.audience or self._audiences,
            required=["exp", "iss", "aud"],
        )


def _keys(sender: Sender, fetch: Fetch) -> KeySet:
    """Raises NotConfigured where the key file is not one."""
    if sender.jwks_file is not None:
        return KeyFile(sender.jwks_file)
    assert sender.jwks_url is not None, "the configuration was checked"
    return RemoteKeys(sender.jwks_url, fetch=fetch)
