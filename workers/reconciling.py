"""The reconciliation poll: what a sender dropped after its own retries is found at its FHIR server.

For each sender with `fhir_base_url` and `reads`, every VBQ_RECONCILE_SECONDS: a search per type of what changed since
the watermark, less VBQ_RECONCILE_OVERLAP_SECONDS for clocks that differ and transactions that commit late. What is in
the inbox already costs a look. The watermark is the server's own time and moves only after the rows are durable.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable

from gateways.fhir.client import Page
from gateways.fhir.watermarks import Watermarks
from gateways.records.facts import instant
from gateways.settings import Settings
from schemas.config import Sender
from schemas.errors import EhrUnavailable, Rejected, StoreUnavailable
from schemas.events import RELEVANT_TYPES
from workers import vanished
from workers.bench import Bench
from workers.fetching import Place, accept, events_of_page, known, place_of, related
from workers.searching import Search, iso, pages_since

LEASE_SECONDS = 90.0  # renewed with each page; one exchange with a server takes 60 s at most
RETRY_SECONDS = 15.0
LONGER_RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


class Reconciler:
    """Polls in a thread of its own. Any number may run; the one that holds the lease works."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Begin, if the configuration wants it: a sender that may be read, and VBQ_RECONCILE_SECONDS above 0."""
        senders = sources(self._settings.structured().senders)
        if self._settings.reconcile_seconds <= 0 or not senders:
            return False
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._thread.start()
        log.info("reconciliation polls", extra={"senders": ",".join(senders)})
        return True

    def stop(self) -> None:
        """End after the exchange at hand, which is waited for shortly: it loses nothing by being cut off."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self) -> None:
        bench = Bench.open(self._settings)
        try:
            while not self._stop.is_set():
                self._stop.wait(self._round(bench))
        finally:
            bench.close()

    def _round(self, bench: Bench) -> float:
        """Poll what is due of every sender, if it is our turn; returns the seconds until the next look."""
        marks = Watermarks(bench.database)
        try:
            if not marks.lead(self._holder, LEASE_SECONDS):
                return min(RETRY_SECONDS, self._settings.reconcile_seconds)
            well = True
            for source in sources(bench.config.senders):
                well = self.poll(bench, marks, source) and self.look_for_deletions(bench, marks, source) and well
            marks.leave(self._holder)
        except StoreUnavailable as error:
            log.warning("%s", error.detail, extra={"code": error.reason_code})
            well = False
        return min(self._settings.reconcile_seconds, RETRY_SECONDS if well else LONGER_RETRY_SECONDS)

    def poll(self, bench: Bench, marks: Watermarks, source: str) -> bool:
        """Every type of one sender that is due; False where one did not come to its end. Raises StoreUnavailable."""
        well = True
        for kind in RELEVANT_TYPES:
            if time.time() - marks.polled_at(source, kind) < self._settings.reconcile_seconds:
                continue
            try:
                place = place_of(bench, source)
                if (place.types is None or kind in place.types) and not self._poll_type(bench, marks, place, kind):
                    return False
            except (EhrUnavailable, Rejected) as error:
                well = False
                marks.failed(source, kind, error.reason_code)
                log.warning(
                    "a poll did not end: %s",
                    error.detail,
                    extra={"sender": source, "type": kind, "code": error.reason_code},
                )
                if isinstance(error, EhrUnavailable):
                    break  # the next type would fare no better
        return well

    def look_for_deletions(self, bench: Bench, marks: Watermarks, source: str) -> bool:
        """Every type of one sender that is due; False where one did not come to its end. Raises StoreUnavailable."""
        every = self._settings.reconcile_deleted_seconds
        for kind in vanished.TYPES if every > 0 else ():
            mark = vanished.mark_of(kind)
            if time.time() - marks.polled_at(source, mark) < every:
                continue
            try:
                place = place_of(bench, source)
                if place.types is not None and kind not in place.types:
                    continue
                if not vanished.look(bench, marks, place, kind, lambda: self._goes_on(marks)):
                    return False
            except (EhrUnavailable, Rejected) as error:
                marks.failed(source, mark, error.reason_code)
                log.warning(
                    "a look for deletions did not end: %s",
                    error.detail,
                    extra={"sender": source, "type": kind, "code": error.reason_code},
                )
                return False
        return True

    def _goes_on(self, marks: Watermarks) -> bool:
        return not self._stop.is_set() and marks.lead(self._holder, LEASE_SECONDS)

    def _poll_type(self, bench: Bench, marks: Watermarks, place: Place, kind: str) -> bool:
        """One type; False where we are to stop, or lost our turn."""
        source = place.sender.name
        begun = time.time()
        seen = marks.seen_until(source, kind)
        start = seen - self._settings.reconcile_overlap_seconds
        search = Search(iso(start))
        fresh = 0
        for page in pages_since(place.client, kind, search):
            if any(moment < start - 1.0 for moment in last_updates(page)):
                raise Rejected(
                    "the server gives resources from before _lastUpdated: it cannot be searched by it, and polls of "
                    "everything would wear it out; leave `reads` of this sender out, or set VBQ_RECONCILE_SECONDS=0",
                    code="poll-not-possible",
                )
            fresh += accept(bench, list(events_of_page(page, place)))
            ask_for(bench, page, place)
            seen = max([seen, *(min(moment, begun) for moment in last_updates(page))])
            if search.reached(kind, page):  # sorted: everything up to here is in the inbox
                marks.move(source, kind, seen, through=False)
            if not self._goes_on(marks):
                return False
        marks.move(source, kind, seen, through=True)
        if fresh:
            log.info("a poll found what was never pushed", extra={"sender": source, "type": kind, "count": fresh})
        return True


def sources(senders: Iterable[Sender]) -> list[str]:
    """Names of the senders whose servers may be read."""
    return [one.name for one in senders if one.fhir_base_url and one.reads]


def last_updates(page: Page) -> list[float]:
    """meta.lastUpdated of the resources that state it, as seconds since 1970.

    A time ahead of our clock (a server's, or a forger's) is cut to the poll's beginning by the caller: a watermark in
    the future would pass over everything until then.
    """
    rows = [row["meta"].get("lastUpdated") for row in page.resources if isinstance(row.get("meta"), dict)]
    moments = [instant(row) for row in rows if isinstance(row, str)]
    return [moment for moment in moments if moment is not None]


def ask_for(bench: Bench, page: Page, place: Place) -> None:
    """Jobs for what the resources of `page` refer to and we do not have: their Patients, Endpoints of a study."""
    wanted = related(page.resources, place)
    if not wanted:
        return
    with bench.database.read() as connection:
        missing = [reference for reference in wanted if not known(bench, connection, place, reference)]
    if not missing:
        return
    with bench.database.write() as connection:
        for reference in missing:
            bench.jobs.bump(connection, "fetch", f"{place.sender.name}/{reference}", "")
