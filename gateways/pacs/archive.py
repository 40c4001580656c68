"""One DICOMweb archive (PS3.18) for the time of one task: its login, its TLS, what it may answer and for how long.

The archive is one that is configured; no address is made of what it or a sender says, but for UIDs that were checked.
Messages name neither address nor identifiers.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gateways.access.logins import Login, login
from gateways.outgoing.deadline import Deadline
from gateways.outgoing.retry_after import retry_after_s
from schemas.config import Pacs
from schemas.errors import NotConfigured, PacsUnavailable, TooLarge, Unavailable

if TYPE_CHECKING:
    import httpx

CONNECT_S, READ_S = 5.0, 30.0
EXCHANGE_S = 90.0  # one whole answer, however slowly it trickles; a worker's task ends after VBQ_TASK_SECONDS
CHUNK = 1 << 18
MAX_JSON_BYTES = 64 * 2**20  # metadata of 2,000 instances take about 12 MiB
DICOM_JSON = {"Accept": "application/dicom+json"}
ABSENT_S = 30.0

Headers = Mapping[str, Any]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class Archive:
    """Calls to one archive. Failures of the network and of the login come out as ours; other statuses are answers."""

    def __init__(self, pacs: Pacs, client: "httpx.Client", enter: Login, deadline: Deadline) -> None:
        self.name = pacs.name
        self.base = pacs.wado_rs.rstrip("/")
        self._client = client
        self._login = enter
        self._deadline = deadline

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Iterator["httpx.Response"]:
        """An answer whose body is still coming. `path` lies below the archive's base.

        Raises PacsUnavailable (away, 429, 5xx; with what its Retry-After says), NotConfigured (401, 403, redirects).
        """
        for last in (False, True):
            self._deadline.begin(EXCHANGE_S)
            mine = self._login.headers()
            url = f"{self.base}/{path}"
            with self._client.stream(
                method, url, params=params, content=content, headers={**headers, **mine}
            ) as answer:
                if answer.status_code == 401 and not last and self._login.renewed(mine):
                    continue
                _check(answer)
                yield answer
                return

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most_bytes: int = MAX_JSON_BYTES,
    ) -> Answer:
        """A whole answer of bounded size. Raises as `stream`, and TooLarge."""
        body = bytearray()
        with self.stream(method, path, headers, params=params, content=content) as answer:
            for part in answer.iter_bytes(CHUNK):
                body += part
                if len(body) > most_bytes:
                    raise TooLarge(f"the archive's answer is larger than {most_bytes >> 20} MiB", code="pacs-answer")
            return Answer(answer.status_code, bytes(body))

    def rows(self, path: str, params: Mapping[str, str] | None = None) -> list[Headers]:
        """The objects of a DICOM JSON answer; none where the archive has nothing to say (204, 404)."""
        answer = self.ask("GET", path, DICOM_JSON, params=params)
        if answer.status in (204, 404):
            return []
        if answer.status != 200:
            raise PacsUnavailable(f"the archive answered {answer.status}; it will be asked again", code="pacs-answer")
        return rows_of(answer.body)


def rows_of(body: bytes) -> list[Headers]:
    """DICOM JSON (PS3.18 annex F): the objects of an array. Raises PacsUnavailable where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PacsUnavailable("the archive's answer is no DICOM JSON; it will be asked again") from error
    if not isinstance(document, list):
        raise PacsUnavailable("the archive's answer is no array of DICOM JSON; it will be asked again")
    return [row for row in document if isinstance(row, dict)]


@contextmanager
def open_archive(pacs: Pacs) -> Iterator[Archive]:
    """The archive that `pacs` configures. Raises as Archive.stream, also from within the block."""
    import httpx

    from gateways.outgoing.reach import open_client  # only tasks that fetch pay for these

    deadline = Deadline()
    try:
        enter = login(
            pacs.auth,
            base_url=pacs.wado_rs,
            setting=f"pacs: {pacs.name}: auth",
            private_network=pacs.private_network,
            ca_file=pacs.ca_file,
        )
        with open_client(
            [pacs.wado_rs],
            private_network=pacs.private_network,
            ca_file=pacs.ca_file,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"},  # gzip doubles the time on a local network
            deadline=deadline,
        ) as client:
            yield Archive(pacs, client, enter, deadline)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise PacsUnavailable(
            f"the archive cannot be reached ({type(error).__name__}); it will be asked again"
        ) from error
    except Unavailable as error:
        if isinstance(error, PacsUnavailable):
            raise
        raise PacsUnavailable(  # of the server that gives tokens
            f"no token for the archive: {error.detail}", code="pacs-login", retry_after_s=error.retry_after_s
        ) from error


def lets_us_in(pacs: Pacs) -> str:
    """For `vbq doctor`: what it answers to a query for one study, as its login allows. Raises as `open_archive`.

    The answer itself is not looked at: it is a patient's.
    """
    with open_archive(pacs) as archive:
        answer = archive.ask("GET", "studies", DICOM_JSON, params={"limit": "1"})
    if answer.status not in (200, 204):
        raise NotConfigured(f"it answers {answer.status} to a query for studies; check the path of pacs.wado_rs")
    return f"answers queries (HTTP {answer.status}) and lets us in"


def absent() -> PacsUnavailable:
    """Studies are announced before they have arrived."""
    return PacsUnavailable(
        "the archive has not got the study (yet); it will be asked again",
        code="pacs-study-absent",
        retry_after_s=ABSENT_S,
    )


def _check(answer: "httpx.Response") -> None:
    status = answer.status_code
    if status in (401, 403):
        raise NotConfigured(f"the archive does not let us in ({status}); check pacs.auth in VBQ_CONFIG")
    if 300 <= status < 400:
        raise NotConfigured("the archive redirects; give its final address as pacs.wado_rs in VBQ_CONFIG")
    if status == 429 or (status >= 500 and status != 501):
        wait = retry_after_s(answer.headers.get("Retry-After"), now=time.time())
        raise PacsUnavailable(f"the archive answered {status}; it will be asked again", retry_after_s=wait)
