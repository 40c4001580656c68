"""FHIR Bulk Data Access 2.0: asking a server for an export, waiting for it, and reading its files line by line.

Nothing is kept: a file is read as it comes, in parts of 64 KiB, and a line beyond its bound is passed over without
being held. Where the server says that its files need no token, none is sent; to another origin than the server's none
ever is, and such an origin must be configured (export_files_at).
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urljoin

from gateways.fhir.client import refusal
from gateways.fhir.http import FhirHttp, Reply
from gateways.outgoing.origins import origin_of, same_origin
from gateways.outgoing.retry_after import retry_after_s
from schemas.errors import EhrUnavailable, Forbidden, Rejected
from schemas.fhir.parse import parse_json

NDJSON = "application/fhir+ndjson"
SHORTEST_POLL_SECONDS = 0.2
POLL_SECONDS = 2.0
LONGEST_POLL_SECONDS = 120.0
MOST_FILES = 100_000
NOT_OFFERED = frozenset({"ehr-not-found", "ehr-not-supported", "ehr-refused", "ehr-forbidden"})
Kind = Literal["output", "deleted", "error"]


@dataclass(frozen=True)
class File:
    """One file of an export. `count`: its lines, where the server says."""

    kind: Kind
    resource_type: str
    url: str
    with_login: bool
    count: int | None


@dataclass(frozen=True)
class Waiting:
    """The export is not ready; ask again after `seconds`. `progress`: what the server says of it, printable."""

    seconds: float
    progress: str


def kick_off(http: FhirHttp, types: Sequence[str], since: str | None) -> str | None:
    """Ask for an export of `types` (changed since a FHIR instant); the address of its state. None where the server
    offers none, neither of everything nor of all patients. Raises EhrUnavailable.
    """
    query = {"_outputFormat": NDJSON, "_type": ",".join(types), **({"_since": since} if since else {})}
    for path in ("$export", "Patient/$export"):
        url = f"{http.base}/{path}?{urlencode(query)}"
        try:
            reply = http.get(url, headers={"Prefer": "respond-async"})
        except EhrUnavailable as error:
            if error.reason_code in NOT_OFFERED:  # a right that we lack is answered with 403
                continue
            raise
        except Rejected:  # a server without it may answer with everything at once
            continue
        if reply.status == 202:
            return _place(http, reply)
    return None


def ask(http: FhirHttp, status_url: str, *, clock: Callable[[], float] = time.time) -> Waiting | list[File]:
    """The state of the export: what there is to wait for, or its files.

    Raises Rejected where it failed or is not there any more (code ehr-not-found, ehr-gone or export-failed).
    """
    reply = http.get(status_url, accept="application/json")
    if reply.status == 202:
        asked = retry_after_s(reply.headers.get("Retry-After"), now=clock())
        seconds = min(max(asked if asked is not None else POLL_SECONDS, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)
        said = "".join(c for c in reply.headers.get("X-Progress", "")[:60] if c.isprintable())
        return Waiting(seconds, said)
    if reply.status != 200:
        raise refusal(reply, "the export")
    return files_of(http, parse_json(reply.body))


def files_of(http: FhirHttp, manifest: dict[str, Any]) -> list[File]:
    """The files that a manifest names. Raises Rejected, Forbidden where one is at a place that is not ours to call."""
    with_login = manifest.get("requiresAccessToken") is not False
    found: list[File] = []
    kinds: tuple[Kind, ...] = ("output", "deleted", "error")
    for kind in kinds:
        rows = manifest.get(kind)
        for row in rows if isinstance(rows, list) else ():
            url = row.get("url") if isinstance(row, dict) else None
            if not isinstance(url, str) or not isinstance(row.get("type"), str):
                raise Rejected(f"the export's manifest has a wrong entry in {kind}", code="export-manifest")
            count = row.get("count")
            whole = count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**31 else None
            name = row["type"] if row["type"].isalnum() and len(row["type"]) <= 64 else "unknown"
            found.append(File(kind, name, _file_url(http, url, with_login=with_login), with_login, whole))
    if len(found) > MOST_FILES or not isinstance(manifest.get("output"), list):
        raise Rejected("the export's manifest names no list of files, or too many", code="export-manifest")
    return found


def lines(http: FhirHttp, file: File, *, most_bytes: int, skip: int = 0) -> Iterator[bytes | None]:
    """The lines of a file without their ends, empty ones left out; None for one of more than `most_bytes`.

    `skip` lines (counted as they are given) are passed over. Raises EhrUnavailable, also half-way.
    """
    with http.stream(file.url, accept=NDJSON, with_login=file.with_login) as reply:
        if reply.status != 200:
            raise refusal(Reply(reply.status, reply.headers, b""), "a file of the export")
        yield from itertools.islice(split(reply.parts, most_bytes), skip, None)


def split(parts: Iterator[bytes], most_bytes: int) -> Iterator[bytes | None]:
    """Lines out of parts of bytes; holds one line at a time, and none that is longer than `most_bytes`."""
    held, too_long = b"", False
    for part in parts:
        head, *rest = part.split(b"\n")
        for after in (None, *rest):
            if after is not None:
                yield from _line(held, too_long=too_long)
                held, too_long, head = b"", False, after
            held = b"" if too_long else held + head
            if len(held) > most_bytes:
                held, too_long = b"", True
    yield from _line(held, too_long=too_long)


def done_with(http: FhirHttp, status_url: str) -> bool:
    """Tell the server that the export may be deleted; whether it took note. It need not, and is not asked twice."""
    try:
        return 200 <= http.send("DELETE", status_url, None).status < 300
    except (EhrUnavailable, Rejected):
        return False


def _line(held: bytes, *, too_long: bool) -> Iterator[bytes | None]:
    plain = held.strip()
    if too_long:
        yield None
    elif plain:
        yield plain


def _place(http: FhirHttp, reply: Reply) -> str:
    stated = reply.headers.get("Content-Location", "")
    try:
        url = http.own(urljoin(f"{http.base}/", stated))
    except ValueError:
        url = ""
    if not stated or not same_origin(url, http.base):
        raise Forbidden("the server says of its export no place of its own to ask for it", code="ehr-elsewhere")
    return url


def _file_url(http: FhirHttp, stated: str, *, with_login: bool) -> str:
    try:
        url = http.own(urljoin(f"{http.base}/", stated))
    except ValueError:
        url = ""
    origin = origin_of(url)
    if origin is None or (with_login and not same_origin(url, http.base)):
        raise Forbidden(
            "the export has its files at another server that wants our token; a token goes to no other server",
            code="ehr-elsewhere",
        )
    if not http.may_call(url):
        raise Forbidden(
            f"the export has its files at {origin.scheme}://{origin.host}; if that is right, add it to export_files_at "
            "of the sender in VBQ_CONFIG",
            code="ehr-elsewhere",
        )
    return url
