"""Reading from an EHR with the token that it lent us for one call (CDS Hooks `fhirAuthorization`).

The token goes to the one configured FHIR base that was named, and nowhere else: no redirects, no proxies of the
environment, no next page at another address, no cookies, and never in the clear off loopback. It is held for the time
of the call and neither stored nor logged. What an EHR sends is bounded in pages, bytes and time.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateways.settings import LOOPBACK
from schemas.errors import Forbidden

if TYPE_CHECKING:
    import httpx

THREADS: Final = 16
MOST_PAGES: Final = 5
MOST_BYTES: Final = 2 * 2**20
MOST_ENTRIES: Final = 500

log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class Loan:
    """A base URL and the token for it. The token is not shown when this is printed."""

    base: str
    token: str = field(repr=False)
    private_network: bool = False
    """Whether the base's name may lead to a private address (gateways/outgoing/reach.py)."""


@dataclass(frozen=True)
class Read:
    """What one query gave: resources, or (`problem`) a stable code for why there are none or not all."""

    resources: tuple[Json, ...] = ()
    problem: str | None = None


class EhrReads:
    """A pool of threads and connections, shared by the calls of a process; made at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._clients: dict[tuple[str, bool], httpx.Client] = {}

    def fetch(self, loan: Loan, queries: Mapping[str, str], *, seconds: float) -> dict[str, Read]:
        """Every query (key -> `Patient/p1` or `Observation?...`), at once, in at most `seconds`. Never raises."""
        parts = urlsplit(loan.base)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            return dict.fromkeys(queries, Read(problem="not-https"))
        until = time.monotonic() + seconds
        pool = self._start()
        asked: dict[str, Future[Read]] = {
            key: pool.submit(self._read, loan, query, until) for key, query in queries.items()
        }
        wait(asked.values(), timeout=seconds)
        found = {}
        for key, future in asked.items():
            if future.done():
                found[key] = future.result()
            else:
                future.cancel()
                found[key] = Read(problem="timeout")
        return found

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)  # each read ends with its own time
        for client in self._clients.values():
            client.close()

    def _start(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ehr-read")
            return self._pool

    def _client(self, loan: Loan) -> "httpx.Client":
        """A client that reaches the loan's origin alone. There are as many as configured FHIR bases."""
        import httpx

        from gateways.outgoing.reach import open_client

        key = loan.base, loan.private_network
        with self._lock:
            if key not in self._clients:
                limits = httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS)
                client = open_client([loan.base], private_network=loan.private_network, limits=limits)
                client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                self._clients[key] = client
            return self._clients[key]

    def _read(self, loan: Loan, query: str, until: float) -> Read:
        """All pages of one query."""
        url: str | None = f"{loan.base}/{query}"
        found: list[Json] = []
        for _ in range(MOST_PAGES):
            if url is None:
                return Read(tuple(found))
            body = self._get(loan, url, until)
            if isinstance(body, str):
                return Read(tuple(found), body)
            if body.get("resourceType") != "Bundle":
                return Read((body,)) if body.get("resourceType") != "OperationOutcome" else Read(problem="refused")
            found.extend(entries_of(body))
            if len(found) > MOST_ENTRIES:
                return Read(tuple(found[:MOST_ENTRIES]), "too-much")
            following = next_page(body)
            if following is not None and not below(following, loan.base):
                return Read(tuple(found), "next-page-elsewhere")
            url = following
        return Read(tuple(found), "too-much") if url is not None else Read(tuple(found))

    def _get(self, loan: Loan, url: str, until: float) -> Json | str:
        """The JSON behind `url`, or the code of a problem."""
        import httpx

        left = until - time.monotonic()
        if left <= 0:
            return "timeout"
        headers = {"Authorization": f"Bearer {loan.token}", "Accept": "application/fhir+json"}
        raw = b""
        try:
            with self._client(loan).stream("GET", url, headers=headers, timeout=left) as reply:
                if reply.status_code != 200:
                    return "not-found" if reply.status_code in (404, 410) else f"status-{reply.status_code}"
                for part in reply.iter_bytes():
                    raw += part
                    if len(raw) > MOST_BYTES:
                        return "too-much"
                    if time.monotonic() > until:
                        return "timeout"
            document = json.loads(raw)
        except Forbidden as error:
            return error.reason_code
        except httpx.TimeoutException:
            return "timeout"
        except (httpx.HTTPError, httpx.InvalidURL):
            return "no-answer"
        except (ValueError, RecursionError):
            return "not-json"
        return document if isinstance(document, dict) else "not-json"


def entries_of(bundle: Mapping[str, Any]) -> list[Json]:
    """The resources in a searchset; what is none is passed over."""
    entries = bundle.get("entry")
    rows = [row.get("resource") for row in entries if isinstance(row, dict)] if isinstance(entries, list) else []
    return [row for row in rows if isinstance(row, dict)]


def next_page(bundle: Mapping[str, Any]) -> str | None:
    """The address of the next page, where there is one."""
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


def below(url: str, base: str) -> bool:
    """Whether `url` lies at the very origin of `base` and below its path."""
    try:
        theirs, ours = urlsplit(url), urlsplit(base)
        same = (theirs.scheme, theirs.hostname, theirs.port) == (ours.scheme, ours.hostname, ours.port)
    except ValueError:
        return False
    dots = any(part in ("..", ".") for part in theirs.path.lower().replace("%2e", ".").split("/"))
    inside = theirs.path == ours.path or theirs.path.startswith(ours.path.rstrip("/") + "/")
    return same and inside and not dots and theirs.username is None
