"""Where this system may call out to: one HTTP client for every outgoing call, held to configured origins.

An address that somebody else chose (an Endpoint, a `jku`, a paging link, a `fhirServer`) counts only where its origin
is one of the configured ones, exactly. Then the name is resolved once, its addresses are filtered, and the connection
goes to an address that passed: what a second look at the DNS would say (rebinding) does not matter. The Host header
and the name that TLS checks stay the origin's. No redirect is followed and no proxy or .netrc of the environment used.

Import it where it is used: httpx takes 0.1 s to import. Telling origins apart needs only gateways/outgoing/origins.py.

    with open_client([ehr.base_url], private_network=ehr.private_network, timeout=10) as client:
        client.get(url)     # Forbidden where url is at another origin or resolves to an address that is refused
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpcore
import httpx

from gateways.outgoing.deadline import Deadline, TimedBackend
from gateways.outgoing.origins import origin_of, refusal
from schemas.errors import Forbidden, NotConfigured

SECONDS = 3.0
Resolve = Callable[[str, int], list[str]]


def open_client(
    allowed: Iterable[str],
    *,
    private_network: bool = False,
    ca_file: Path | None = None,
    timeout: float | httpx.Timeout = SECONDS,
    headers: Mapping[str, str] | None = None,
    limits: httpx.Limits | None = None,
    resolve: Resolve | None = None,
    deadline: Deadline | None = None,
) -> httpx.Client:
    """An HTTP client that reaches the origins of `allowed` (configured URLs) and nothing else. Close it after use.

    A call raises Forbidden where its URL is of another origin (code `origin-not-allowed`) or the name leads to an
    address that is refused (`address-refused`); failures are httpx's own errors. `ca_file` holds the certificates of
    the authorities that count instead of the machine's. Raises NotConfigured where it cannot be read. A `deadline`
    bounds each whole exchange: `timeout` bounds only each wait for a byte.
    """
    transport = _Guarded(
        list(allowed),
        private_network=private_network,
        ca_file=ca_file,
        limits=limits or httpx.Limits(),
        resolve=resolve or _resolve,
        deadline=deadline,
    )
    return httpx.Client(transport=transport, timeout=timeout, headers=headers, follow_redirects=False, trust_env=False)


class _Guarded(httpx.HTTPTransport):
    """Checks each request's origin, and each connection's address."""

    def __init__(
        self,
        allowed: list[str],
        *,
        private_network: bool,
        ca_file: Path | None,
        limits: httpx.Limits,
        resolve: Resolve,
        deadline: Deadline | None,
    ) -> None:
        self._allowed = {origin for url in allowed if (origin := origin_of(str(httpx.URL(url)))) is not None}
        secure = any(origin.scheme == "https" for origin in self._allowed)
        context = _tls(ca_file) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the latter trusts nobody
        super().__init__(verify=context, trust_env=False, limits=limits)
        checked = _Checked(private_network=private_network, resolve=resolve)
        # httpx offers no way to hand its pool a network backend, and only there can a name be resolved just once.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=checked if deadline is None else TimedBackend(checked, deadline),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if origin_of(str(request.url)) not in self._allowed:
            raise Forbidden(
                "an address outside the configured origins was not called; where it is meant, add it to VBQ_CONFIG",
                code="origin-not-allowed",
            )
        return super().handle_request(request)


class _Checked(httpcore.SyncBackend):
    """Resolves a name, filters what it leads to, and connects to an address that passed."""

    def __init__(self, *, private_network: bool, resolve: Resolve) -> None:
        super().__init__()
        self._private_network = private_network
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error
        host = host.rstrip(".").lower()
        refused = {one: why for one in found if (why := refusal(one, host, private_network=self._private_network))}
        good = [one for one in found if one not in refused]
        if not good:
            why = next(iter(refused.values()), "no address at all")
            raise Forbidden(
                f"a configured address leads to {why} and was not called; where a private network is meant, set "
                "private_network: true beside the address in VBQ_CONFIG; for this machine, write localhost",
                code="address-refused",
            )
        for one in good[:-1]:
            try:
                return super().connect_tcp(one, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next address of the same name
        return super().connect_tcp(good[-1], port, timeout, local_address, socket_options)


@lru_cache(maxsize=8)
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Reading the machine's certificates takes 20 ms, so it is done once per file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured("ca_file cannot be read as PEM certificates; check its path and content") from error


def _resolve(host: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))
