"""Bearer tokens of CDS clients: signed by a configured key, for the very URL that was called, and never used twice.

Requirements 42-47 of CDS Hooks 2.0 (security). Reasons name the claim that is wrong, never its value.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jwt

from gateways.keys import KeyFile
from schemas.config import CdsClient
from schemas.errors import NotConfigured

LEEWAY_SECONDS = 2  # the CDS Hooks Sandbox rounds `iat` up
MAX_TOKEN_BYTES = 8192
MAX_LIFETIME_SECONDS = 3600  # a `jti` is remembered until its token expires, so a token may not live for ever
REQUIRED = ["exp", "iat", "jti", "iss", "aud"]

WORDS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "`exp` is in the past",
    jwt.ImmatureSignatureError: "`iat` or `nbf` is in the future",
    jwt.InvalidAudienceError: "`aud` is not the URL that was called (VBQ_PUBLIC_URL is our base as clients see it)",
    jwt.InvalidSignatureError: "the signature does not match the configured key",
    jwt.MissingRequiredClaimError: "one of " + ", ".join(f"`{name}`" for name in REQUIRED) + " is missing",
}


class TokenRefused(Exception):
    """The token does not let its bearer in; `why` is a sentence fit for a reply."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SeenTokens:
    """The `jti`s of tokens that have not expired yet, of this process.

    Several replicas each keep their own: a token could be used once at each of them. A cache that replicas share
    closes that gap.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._until: dict[bytes, float] = {}
        self._sweep_at = 0.0

    def first_time(self, issuer: str, jti: str, until: float) -> bool:
        """Remember (issuer, jti) until the time `until` (seconds since the epoch); False where it is known already."""
        name = hashlib.sha256(f"{issuer}\0{jti}".encode()).digest()[:16]
        now = self._now()
        with self._lock:
            if now >= self._sweep_at:
                self._until = {key: end for key, end in self._until.items() if end > now}
                self._sweep_at = now + 60
            if self._until.get(name, 0.0) > now:
                return False
            self._until[name] = until
            return True


class Door(NamedTuple):
    """A client and its keys."""

    client: CdsClient
    keys: KeyFile


class Tokens:
    """Who among the configured CDS clients sent a token."""

    def __init__(self, clients: Sequence[CdsClient], seen: SeenTokens | None = None) -> None:
        self._doors = [Door(client, keys_of(client)) for client in clients]
        self._seen = seen or SeenTokens()

    def check(self, token: str, urls: Sequence[str]) -> CdsClient:
        """The client whose `token` it is, valid for one of `urls`. Raises TokenRefused; a second use is refused."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenRefused("it is not a JSON Web Token") from error
        door = self._door(claimed)
        claims = verified(token, header, door, urls)
        if claims["exp"] - time.time() > MAX_LIFETIME_SECONDS:
            raise TokenRefused(f"`exp` is more than {MAX_LIFETIME_SECONDS} s ahead")
        if not self._seen.first_time(door.client.issuer, claims["jti"], claims["exp"] + LEEWAY_SECONDS):
            raise TokenRefused("its `jti` was used before; make a new token for each call")
        return door.client

    def _door(self, claimed: dict[str, Any]) -> Door:
        """The client that the unverified claims point to; its keys then prove it."""
        issuer, tenant = claimed.get("iss"), claimed.get("tenant")
        for door in self._doors:
            if door.client.issuer == issuer and door.client.tenant in (None, tenant):
                return door
        raise TokenRefused("no configured CDS client has its `iss` (and `tenant`)")


def keys_of(client: CdsClient) -> KeyFile:
    """The client's key file. Raises NotConfigured where its keys are to come from elsewhere."""
    if client.jwks_file is None:
        raise NotConfigured(
            f"cds_clients: {client.name}: keys are read from jwks_file only; save the client's JWKS and name it there"
        )
    return KeyFile(client.jwks_file)


def verified(token: str, header: dict[str, Any], door: Door, urls: Sequence[str]) -> dict[str, Any]:
    """The claims of `token` after its signature and every required claim were checked. Raises TokenRefused."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in door.client.algorithms:
        raise TokenRefused("its `alg` is not one that this client is configured for")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise TokenRefused("its `typ` is not JWT")
    key = door.keys.find(kid) if isinstance(kid, str) else None
    if key is None or not key.fits(algorithm):
        raise TokenRefused("the client's JWKS has no key with its `kid` that fits its `alg`")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(urls),
            issuer=door.client.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED},
        )
    except jwt.PyJWTError as error:
        words = next(
            (text for kind, text in WORDS.items() if isinstance(error, kind)), "one of its claims is malformed"
        )
        raise TokenRefused(words) from error
    if not claims["jti"] or len(claims["jti"]) > 256:
        raise TokenRefused("`jti` is empty or longer than 256 characters")
    return claims
