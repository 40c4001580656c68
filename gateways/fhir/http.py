"""HTTP to one FHIR server, with everything that an odd or hostile server could do to us bounded.

A call goes below the configured base (or to an address that the caller allowed by name) and nowhere else; the login's
header never leaves the base's origin. No redirect is followed, no cookie kept. A reply is bounded in bytes, after
decompression too, and in time, however slowly it trickles. 429 and 503 are waited for as the server asks, within a
budget; a write is never repeated here. A circuit, where there is one, hears how each call went.
"""

import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from gateways.access.logins import Fixed, Login
from gateways.outgoing.deadline import Deadline
from gateways.outgoing.origins import same_origin
from gateways.outgoing.retry_after import retry_after_s
from schemas.errors import CircuitOpen, EhrUnavailable, Forbidden, Rejected

if TYPE_CHECKING:
    import httpx

FHIR_JSON = "application/fhir+json"
# no-cache: HAPI answers the same search from what it found up to a minute ago
HEADERS = {"Accept-Encoding": "gzip", "User-Agent": "vbq-cds", "Cache-Control": "no-cache"}
LOGIN = "ehr-login"
FORBIDDEN = "ehr-forbidden"
CONNECT_SECONDS = 3.0
SETTLE_SECONDS = 5.0  # a write that was cut off may still be at work there; whoever looks too soon finds nothing
CHUNK = 64 * 1024
LONGEST_BACKOFF_SECONDS = 30.0
_DOTS = re.compile(r"(?i)(^|/|\\)(\.|%2e){1,2}(/|\\|$)")


class Breaker(Protocol):
    """Something that hears how calls went and may hold the next one up (gateways/fhir/circuit.py)."""

    def enter(self) -> None:
        """Raise CircuitOpen where no call should be made now."""

    def succeeded(self) -> None:
        """The system answered."""

    def failed(self, code: str, retry_after_s: float | None) -> float | None:
        """The system did not answer, or said that it cannot. Seconds until it is called again; None: at any time."""


@dataclass(frozen=True)
class Limits:
    """What one call may cost. `waits_seconds` is the budget for waiting as the server asks, over one call's tries."""

    reply_bytes: int = 16 * 2**20
    reply_seconds: float = 60.0
    silence_seconds: float = 20.0
    waits_seconds: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Streamed(NamedTuple):
    """An answer whose body is still coming."""

    status: int
    headers: Mapping[str, str]
    parts: Iterator[bytes]


class FhirHttp:
    """Calls to one FHIR server over kept connections. For one thread at a time; close it after use."""

    def __init__(
        self,
        base_url: str,
        login: Login | None = None,
        *,
        also_at: Sequence[str] = (),
        aliases: Sequence[str] = (),
        private_network: bool = False,
        ca_file: Path | None = None,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`also_at`: further addresses that may be called, without the login (an export's files). `aliases`: other
        URLs by which the server calls its base; an address below one of them is called below the base.
        """
        self.base = base_url.rstrip("/")
        self.limits = limits or Limits()
        self.login = login or Fixed({})
        self._allowed = [self.base, *also_at]
        self._aliases = [one.rstrip("/") for one in aliases]
        self._private_network = private_network
        self._ca_file = ca_file
        self._breaker = breaker
        self._sleep = sleep
        self._deadline = Deadline()
        self._client: httpx.Client | None = None

    def get(self, url: str, *, accept: str = FHIR_JSON, headers: Mapping[str, str] | None = None) -> Reply:
        """GET, tried again within the budget where that may help. Any status but 401, 403, 429 and 5xx comes back.

        Raises EhrUnavailable where it makes sense to ask again later, Forbidden where `url` is not ours to call,
        Rejected where the reply is larger than its bound.
        """
        return self._patiently(lambda: self._whole("GET", url, None, {"Accept": accept, **(headers or {})}))

    def send(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str] | None = None) -> Reply:
        """A write, sent once (a second time only after a 401, which comes before anything is done). Raises as `get`."""
        kind = {"Content-Type": FHIR_JSON} if content is not None else {}
        return self._whole(method, url, content, {"Accept": FHIR_JSON, **kind, **(headers or {})})

    @contextmanager
    def stream(self, url: str, *, accept: str, with_login: bool = True) -> Iterator[Streamed]:
        """GET, once; the body is read as it comes: bounded in silence, not in length. Raises as `get`, half-way too."""
        with self._opened("GET", url, None, {"Accept": accept}, with_login=with_login, whole=False) as reply:
            yield reply

    def own(self, url: str) -> str:
        """`url`, below the configured base where the server stated it below another name of itself."""
        if inside(url, self.base):
            return url
        alias = next((one for one in self._aliases if inside(url, one)), None)
        return url if alias is None else self.base + url[len(alias) :]

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _patiently(self, attempt: Callable[[], Reply]) -> Reply:
        left, tries = self.limits.waits_seconds, 0
        while True:
            try:
                return attempt()
            except EhrUnavailable as error:
                tries += 1
                wait = error.retry_after_s
                if wait is None:
                    wait = min(2.0 ** (tries - 1), LONGEST_BACKOFF_SECONDS)
                if error.reason_code == LOGIN or wait > left:
                    raise
                left -= wait
                self._sleep(wait)

    def _whole(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        with self._opened(method, url, content, headers, with_login=True, whole=True) as reply:
            return Reply(reply.status, reply.headers, b"".join(reply.parts))

    @contextmanager
    def _opened(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], *, with_login: bool, whole: bool
    ) -> Iterator[Streamed]:
        import httpx

        self._check(url)
        if self._breaker is not None:
            self._breaker.enter()
        until = time.monotonic() + self.limits.reply_seconds
        try:
            with self._answer(method, url, content, headers, with_login=with_login) as reply:
                self._judge(reply)
                yield Streamed(reply.status_code, reply.headers, self._parts(reply, until if whole else None))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            found = EhrUnavailable(f"the FHIR server did not answer ({type(error).__name__}); it will be asked again")
            raise self._failed(found, settle=method != "GET" and not never_sent(error)) from error
        except EhrUnavailable as error:
            found = self._failed(error)
            if found is error:
                raise
            raise found from error
        except Rejected:  # it did answer, if not as it should
            self._worked()
            raise
        else:
            self._worked()

    def _worked(self) -> None:
        if self._breaker is not None:
            self._breaker.succeeded()

    @contextmanager
    def _answer(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], *, with_login: bool
    ) -> Iterator["httpx.Response"]:
        """The reply as it begins; a 401 is met with one new token."""
        client = self._opened_client()
        for first in (True, False):
            login = self.login.headers() if with_login and same_origin(url, self.base) else {}
            self._deadline.begin(self.limits.reply_seconds)
            with client.stream(method, url, content=content, headers={**headers, **login}) as reply:
                if reply.status_code == 401 and first and login and self.login.renewed(login):
                    continue
                yield reply
                return

    def _judge(self, reply: "httpx.Response") -> None:
        """Raise EhrUnavailable where the status says that later may be better."""
        status = reply.status_code
        if status == 429 or (status >= 500 and status != 501):
            wait = retry_after_s(reply.headers.get("Retry-After"), now=time.time())
            raise EhrUnavailable(f"the FHIR server answered {status}; it will be asked again", retry_after_s=wait)
        if status in (401, 403):
            raise EhrUnavailable(
                f"the FHIR server answered {status}: it does not let us in, or not so far; check login and scopes",
                code=LOGIN if status == 401 else FORBIDDEN,
            )

    def _failed(self, error: EhrUnavailable, *, settle: bool = False) -> EhrUnavailable:
        """What is to be raised for `error`, of which the breaker hears. A 403 is about one resource or one right; all
        else says that the next call will not fare better. `settle`: the server may still be at work on a write.
        """
        wait = error.retry_after_s
        if self._breaker is not None and error.reason_code == FORBIDDEN:
            self._breaker.succeeded()
        elif self._breaker is not None and not isinstance(error, CircuitOpen):
            opened = self._breaker.failed(error.reason_code, wait)
            if opened is not None:
                error = CircuitOpen(error.detail, code=error.reason_code, retry_after_s=max(opened, wait or 0.0))
        if settle:
            error.retry_after_s = max(error.retry_after_s or 0.0, SETTLE_SECONDS)
        return error

    def _parts(self, reply: "httpx.Response", until: float | None) -> Iterator[bytes]:
        """The body, unzipped; bounded in bytes and time where `until` (monotonic seconds) is given."""
        if until is None:
            self._deadline.end()
        size = 0
        for part in plain_parts(reply.iter_raw(CHUNK), reply.headers.get("Content-Encoding")):
            size += len(part)
            if until is not None and size > self.limits.reply_bytes:
                most = self.limits.reply_bytes // 2**20
                raise Rejected(f"the FHIR server's reply is larger than {most} MiB; ask for less", code="ehr-reply")
            if until is not None and time.monotonic() > until:
                raise EhrUnavailable(
                    f"the FHIR server's reply took over {self.limits.reply_seconds:.0f} s; it will be asked again"
                )
            yield part

    def may_call(self, url: str) -> bool:
        """Whether `url` lies below the base, or at an origin that the caller allowed by name (the base's own too)."""
        return inside(url, self.base) or any(same_origin(url, one) for one in self._allowed)

    def _check(self, url: str) -> None:
        if not self.may_call(url):
            raise Forbidden(
                "the FHIR server names an address outside its configured base; it was not called", code="ehr-elsewhere"
            )

    def _opened_client(self) -> "httpx.Client":
        if self._client is None:
            import httpx

            from gateways.outgoing.reach import open_client

            self._client = open_client(
                self._allowed,
                private_network=self._private_network,
                ca_file=self._ca_file,
                timeout=httpx.Timeout(self.limits.silence_seconds, connect=CONNECT_SECONDS),
                headers=HEADERS,
                deadline=self._deadline,
            )
            self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return self._client


def never_sent(error: Exception) -> bool:
    """Whether the server cannot have seen anything of the call that failed so."""
    import httpx

    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.InvalidURL)


def plain_parts(raw: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    """`raw` without its content encoding, in parts of CHUNK bytes at most, so that no small part becomes a huge one.

    Raises EhrUnavailable where it ends early or is corrupt, Rejected where the encoding was not asked for.
    """
    kind = (encoding or "identity").strip().lower()
    if kind == "identity":
        yield from raw
        return
    if kind not in ("gzip", "x-gzip"):
        raise Rejected("the FHIR server's reply is encoded in a way that was not asked for", code="ehr-reply")
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        for part in raw:
            left = part
            while left:
                if inflater.eof:  # another member follows
                    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
                yield inflater.decompress(left, CHUNK)
                left = inflater.unconsumed_tail or inflater.unused_data
    except zlib.error as error:
        raise EhrUnavailable("the FHIR server's reply is not the gzip that it says; it will be asked again") from error
    if not inflater.eof:
        raise EhrUnavailable("the FHIR server's reply ended early; it will be asked again")


def inside(url: str, base: str) -> bool:
    """Whether `url` lies at the very origin of `base` and below its path."""
    if not same_origin(url, base):
        return False
    path, ours = urlsplit(url).path, urlsplit(base).path.rstrip("/")
    return (path == ours or path.startswith(f"{ours}/")) and not _DOTS.search(path)
