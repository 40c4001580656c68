"""Public keys behind an address: a CDS client's JWKS, fetched from where the configuration allows, and kept.

An unknown `kid` means that keys were rotated, so it is fetched again, though not more often than RETRY_SECONDS: a
stranger who makes up kids must not make us call somebody's server. Keys that were there once outlive their server's
absence for STALE_SECONDS. Nothing is followed: no redirect, no proxy of the environment.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from gateways.access.keys import MAX_JWKS_BYTES, PublicKey, parse_jwks
from schemas.errors import Forbidden, NotConfigured, Unavailable

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
RETRY_SECONDS = 30.0
FETCH_SECONDS = 2.0
MOST_ADDRESSES = 8

log = logging.getLogger(__name__)
Fetch = Callable[[str], bytes]


def fetch_jwks(url: str, *, private_network: bool = False) -> bytes:
    """The body behind `url`. Raises Unavailable, also for a redirect and for what is too large; NotConfigured where
    the name leads to an address that is refused (gateways/outgoing/reach.py).
    """
    import httpx

    from gateways.outgoing.reach import open_client

    try:
        with (
            open_client([url], private_network=private_network, timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as reply,
        ):
            if reply.status_code != 200:
                raise Unavailable(f"the JWKS address answered {reply.status_code}", code="jwks-unavailable")
            found = b""
            for part in reply.iter_bytes():
                found += part
                if len(found) > MAX_JWKS_BYTES:
                    raise Unavailable("the JWKS is too large", code="jwks-unavailable")
            return found
    except Forbidden as error:
        raise NotConfigured(error.detail, code=error.reason_code) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            f"the JWKS address did not answer ({type(error).__name__})", code="jwks-unavailable"
        ) from error


class RemoteKeys:
    """The keys behind one address."""

    def __init__(self, url: str, *, fetch: Fetch = fetch_jwks, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, PublicKey] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def find(self, kid: str) -> PublicKey | None:
        """The key called `kid`, or None. Raises Unavailable where no keys could be had at all."""
        known = self._keys.get(kid)
        if known is not None and self._age() < FRESH_SECONDS:
            return known
        with self._lock:  # one caller fetches, the others wait for what it finds
            if kid not in self._keys or self._age() >= FRESH_SECONDS:
                self._refresh()
        if self._read_at is None or self._age() > STALE_SECONDS:
            raise Unavailable("the client's keys cannot be fetched now; try again soon", code="jwks-unavailable")
        return self._keys.get(kid)

    def _age(self) -> float:
        return self._clock() - self._read_at if self._read_at is not None else float("inf")

    def _refresh(self) -> None:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < RETRY_SECONDS:
            return
        self._tried_at = now
        try:
            self._keys = parse_jwks(self._fetch(self._url), "jwks_url")
        except (Unavailable, NotConfigured) as error:
            log.warning("keys of %s: %s", urlsplit(self._url).hostname, error.detail, extra={"code": error.reason_code})
            return
        self._read_at = now


class KeyAddresses:
    """The key sets behind the `jku`s that one client's tokens name, each allowed by the configuration."""

    def __init__(self, allowed: list[str], *, fetch: Fetch = fetch_jwks) -> None:
        """`allowed`: origins (any address there), or whole addresses where a path is given."""
        self._allowed = [entry.rstrip("/") for entry in allowed]
        self._fetch = fetch
        self._lock = threading.Lock()
        self._sets: dict[str, RemoteKeys] = {}

    def at(self, jku: str) -> RemoteKeys | None:
        """The keys at `jku`; None where that address is not allowed, or where too many were named already."""
        if not allowed_address(jku, self._allowed):
            return None
        with self._lock:
            if jku not in self._sets and len(self._sets) < MOST_ADDRESSES:
                self._sets[jku] = RemoteKeys(jku, fetch=self._fetch)
            return self._sets.get(jku)


def allowed_address(url: str, allowed: list[str]) -> bool:
    """Whether `url` is one of `allowed`, or lies at one that is a bare origin. Userinfo and fragments are refused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.fragment or not parts.hostname or any(c.isspace() for c in url):
        return False
    for entry in allowed:
        ours = urlsplit(entry)
        if ours.path:
            if url == entry:
                return True
        elif (parts.scheme, parts.hostname, port) == (ours.scheme, ours.hostname, ours.port):
            return True
    return False
