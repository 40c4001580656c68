"""Bearer tokens of CDS clients: signed by a configured key, for the very URL that was called, and never used twice.

Requirements 42-47 of CDS Hooks 2.0 (security). Reasons name the claim that is wrong, never its value.
"""

import base64
import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import jwt

from gateways.access.keys import KeyFile, PublicKey
from gateways.access.remote_keys import Fetch, KeyAddresses, RemoteKeys, fetch_jwks
from gateways.access.replay import SeenTokens
from schemas.config import CdsClient

LEEWAY_SECONDS = 2  # the CDS Hooks Sandbox rounds `iat` up
MAX_TOKEN_BYTES = 8192
MAX_LIFETIME_SECONDS = 3600  # a `jti` is remembered until its token expires, so a token may not live for ever
REQUIRED = ["exp", "iat", "jti", "iss", "aud"]

WORDS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "`exp` is in the past",
    jwt.ImmatureSignatureError: "`iat` or `nbf` is in the future",
    jwt.InvalidAudienceError: "`aud` is not the URL that was called (VBQ_PUBLIC_URL is our base as clients see it)",
    jwt.InvalidSignatureError: "the signature does not match the configured key",
    jwt.MissingRequiredClaimError: "a required claim is missing (`exp`, `iss`, `aud`; of CDS clients `iat`, `jti` too)",
}


class TokenRefused(Exception):
    """The token does not let its bearer in; `why` is a sentence fit for a reply."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Seen(Protocol):
    """Which tokens were used."""

    def first_time(self, issuer: str, jti: str, until: float) -> bool: ...


class KeySet(Protocol):
    """Public keys by `kid`. May raise Unavailable."""

    def find(self, kid: str) -> PublicKey | None: ...


class Door:
    """A client and where its keys are."""

    def __init__(self, client: CdsClient, fetch: Fetch | None) -> None:
        """Raises NotConfigured where its key file is not one."""
        fetch = fetch or partial(fetch_jwks, private_network=client.private_network)
        self.client = client
        self._own: KeySet | None = None
        if client.jwks_file is not None:
            self._own = KeyFile(client.jwks_file)
        elif client.jwks_url is not None:
            self._own = RemoteKeys(client.jwks_url, fetch=fetch)
        self._addresses = KeyAddresses(client.jku_origins, fetch=fetch)

    def keys(self, jku: object) -> KeySet:
        """The keys for a token with this `jku`. It is looked at only where addresses are allow-listed; a client whose
        keys are configured out of band may send what it likes.
        """
        if self.client.jku_origins and jku is not None:
            found = self._addresses.at(jku) if isinstance(jku, str) else None
            if found is None:
                raise TokenRefused("its `jku` is not an address that this client is configured for (jku_origins)")
            return found
        if self._own is None:
            raise TokenRefused("it has no `jku`, and no keys are configured for this client out of band")
        return self._own


class Tokens:
    """Who among the configured CDS clients sent a token."""

    def __init__(self, clients: Sequence[CdsClient], seen: Seen | None = None, *, fetch: Fetch | None = None) -> None:
        """`fetch` gets the JWKS behind an allowed address; over the network where it is not given."""
        self._doors = [Door(client, fetch) for client in clients]
        self._seen = seen or SeenTokens()

    def check(self, token: str, urls: Sequence[str]) -> CdsClient:
        """The client whose `token` it is, valid for one of `urls`. A second use is refused.

        Raises TokenRefused; Unavailable where the client's keys cannot be fetched now.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        header, claimed = unverified(token)
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


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand there, to choose the key by; `verified` checks the very same bytes.

    Read here because PyJWT walks over the whole token each time that it takes it apart (0.2 ms).
    """
    try:
        first, second, _ = token.split(".")
        found = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (first, second)]
    except (ValueError, RecursionError) as error:
        raise TokenRefused("it is not a JSON Web Token") from error
    if not all(isinstance(part, dict) for part in found):
        raise TokenRefused("it is not a JSON Web Token")
    return found[0], found[1]


def verified(token: str, header: dict[str, Any], door: Door, urls: Sequence[str]) -> dict[str, Any]:
    """The claims of `token` after its signature and every required claim were checked. Raises TokenRefused."""
    kind = header.get("typ")
    if header.get("alg") not in door.client.algorithms:
        raise TokenRefused("its `alg` is not one that this client is configured for")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise TokenRefused("its `typ` is not JWT")
    claims = checked_claims(
        token, header, door.keys(header.get("jku")), issuer=door.client.issuer, audience=urls, required=REQUIRED
    )
    if not claims["jti"] or len(claims["jti"]) > 256:
        raise TokenRefused("`jti` is empty or longer than 256 characters")
    return claims


def checked_claims(
    token: str, header: dict[str, Any], keys: KeySet, *, issuer: str, audience: Sequence[str], required: list[str]
) -> dict[str, Any]:
    """The claims of `token`, whose `alg` the caller allows, signed by one of `keys`. Raises TokenRefused."""
    algorithm, kid = header["alg"], header.get("kid")
    key = keys.find(kid) if isinstance(kid, str) and len(kid) <= 256 else None
    if key is None or not key.fits(algorithm):
        raise TokenRefused("the configured JWKS has no key with its `kid` that fits its `alg`")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(audience),
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": required},
        )
    except jwt.PyJWTError as error:
        words = next(
            (text for kind, text in WORDS.items() if isinstance(error, kind)), "one of its claims is malformed"
        )
        raise TokenRefused(words) from error
    return claims
