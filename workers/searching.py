"""Searching a FHIR server for what changed since a moment, in an order that lets a search go on where it stopped."""

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateways.fhir.client import FhirClient, Page
from gateways.records.facts import instant
from schemas.errors import Rejected

PAGE = "100"
THROUGH = "through"
NOT_THERE = ("ehr-not-found", "ehr-not-supported")

log = logging.getLogger(__name__)


@dataclass
class Search:
    """Since when, and how far each type is: the lastUpdated that was reached, or THROUGH."""

    since: str
    progress: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.progress = dict(self.progress)

    def start(self, kind: str) -> str | None:
        """From when on `kind` is to be asked for; None where it is through."""
        reached = self.progress.get(kind, self.since)
        return None if reached == THROUGH else reached

    def reached(self, kind: str, page: Page) -> bool:
        """Note how far `page` got. False where the server does not sort: then a search cannot stop half-way."""
        times = [_last_updated(resource) for resource in page.resources]
        stated = [moment for moment in times if moment is not None]
        if not times or len(stated) != len(times) or sorted(stated) != stated:
            return False
        if stated[0] < (instant(self.progress.get(kind)) or 0.0):
            return False
        self.progress[kind] = str(page.resources[-1]["meta"]["lastUpdated"])
        return True

    def through(self, kind: str) -> None:
        """`kind` is done."""
        self.progress[kind] = THROUGH


def pages_since(client: FhirClient, kind: str, search: Search) -> Iterator[Page]:
    """The pages of what changed of `kind`, oldest first where the server sorts. A type it does not have is no error."""
    start = search.start(kind)
    if start is None:
        return
    params = {"_lastUpdated": f"ge{start}", "_sort": "_lastUpdated", "_count": PAGE}
    begun = False
    try:
        for page in client.pages(kind, params):
            begun = True
            yield page
        return
    except Rejected as error:
        if begun or error.reason_code not in (*NOT_THERE, "ehr-refused"):
            raise
    try:  # some servers refuse to sort by it
        yield from client.pages(kind, {name: value for name, value in params.items() if name != "_sort"})
    except Rejected as error:
        if error.reason_code not in NOT_THERE:
            raise
        log.warning("a sender's server does not know %s; nothing of it is searched", kind)


def iso(moment: float) -> str:
    """Seconds since 1970 as a FHIR instant."""
    return dt.datetime.fromtimestamp(max(moment, 0.0), dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _last_updated(resource: dict[str, object]) -> float | None:
    meta = resource.get("meta")
    stated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return instant(stated) if isinstance(stated, str) else None
