"""Reading what a FHIR server already holds into the inbox: by its $export, or by searches where it offers none.

Every resource comes in as if its sender had pushed it, so what is here already is no second event. Nothing is held but
one line and one batch; how far each file is is on disk with each batch, and kill -9 costs that batch a second look.
"""

import json
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from gateways.fhir.backfill_state import Backfill, BackfillState, Batch, Part
from gateways.fhir.bulk import File, Waiting, ask, done_with, kick_off, lines
from gateways.fhir.client import FhirClient
from gateways.fhir.sources import Source
from gateways.queue.inbox import Inbox
from gateways.queue.room import Room
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import EhrUnavailable, Rejected, StoreUnavailable, Superseded
from schemas.fhir.parse import parse_json

BATCH_LINES = 500
BATCH_BYTES = 2 * 2**20
HOLD_SECONDS = 20.0
NAP_SECONDS = 2.0
LONGEST_FULL_SECONDS = 600.0
TRIES_WITHOUT_PROGRESS = 6
LOST = frozenset({"ehr-not-found", "ehr-gone"})
Report = Callable[[Backfill, list[Part], str], None]

log = logging.getLogger(__name__)


class Backfiller:
    """Goes on with a back-fill until it is done."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        source: Source,
        client: FhirClient,
        *,
        report: Report,
        page_size: int = 200,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._source = source
        self._client = client
        self._report = report
        self._page_size = page_size
        self._sleep = sleep
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._inbox = Inbox(database)
        self._state = BackfillState(database)
        half = settings.model_copy(update={"inbox_limit": max(1, settings.inbox_limit // 2)})
        self._room = Room(half, database)  # the other half is for what is pushed meanwhile
        self._id = 0
        self._held_until = 0.0

    def run(self, types: list[str], since: str, *, export: bool = True, again: bool = False) -> Backfill:
        """Read `types` (changed since the FHIR instant `since`, if any); goes on with the same one that was cut off,
        unless `again`. Raises EhrUnavailable where the server is away too long, Rejected where it cannot be read,
        StoreUnavailable where there is no room; whatever it raises, running it again goes on.
        """
        if again:
            self._state.give_up(self._source.name)
        known = self._state.unfinished(self._source.name, self._client.base, types, since)
        work = known or self._state.begin(self._source.name, self._client.base, types, since)
        self._id = work.id
        self._take_over()
        try:
            if work.state == "asked":
                self._begin(work, export=export)
            elif known is not None:
                self._say("going on where it was cut off")
            try:
                self._read_all()
            except Rejected as error:
                if error.reason_code not in LOST or self._state.show(self._id).mode != "export":
                    raise
                self._say("the export is not there any more; asking for another one")
                self._state.asked(self._id, "", None)
                self._begin(self._state.show(self._id), export=True)
                self._read_all()
            return self._end()
        finally:
            self._state.leave(self._id, self._holder)
            self._inbox.close()

    def _begin(self, work: Backfill, *, export: bool) -> None:
        """Find out what there is to read."""
        status_url = work.status_url if work.mode == "export" else None
        resumed = status_url is not None
        if export and status_url is None and work.mode != "search":
            status_url = kick_off(self._client.http, work.types, work.since or None)
            self._state.asked(self._id, "export" if status_url else "search", status_url)
        if status_url is None:
            self._state.asked(self._id, "search", None)
            self._say("the server offers no $export: searching" if export else "searching")
            self._state.reading(self._id, [self._search_part(n, kind) for n, kind in enumerate(work.types)])
            return
        try:
            files = self._files(status_url)
        except Rejected as error:
            if error.reason_code not in LOST or not resumed:
                raise
            self._state.asked(self._id, "", None)
            self._begin(self._state.show(self._id), export=True)
            return
        parts = [_part(number, file) for number, file in enumerate(files)]
        self._state.reading(self._id, parts)

    def _files(self, status_url: str) -> list[File]:
        while True:
            found = ask(self._client.http, status_url)
            if not isinstance(found, Waiting):
                return found
            self._say(f"the server makes its files{': ' if found.progress else ''}{found.progress}")
            self._nap(found.seconds)

    def _search_part(self, number: int, kind: str) -> Part:
        work = self._state.show(self._id)
        params = {"_count": str(self._page_size), "_sort": "_lastUpdated"}
        if work.since:
            params["_lastUpdated"] = f"ge{work.since}"
        return Part(number, "search", kind, self._client.search_url(kind, params), with_login=True, total=None)

    def _read_all(self) -> None:
        """Every part that is not read yet. One that cannot be read holds up no other one."""
        failed: Rejected | None = None
        for part in self._state.parts(self._id):
            if part.finished:
                continue
            try:
                if part.kind == "search":
                    self._read_search(part)
                else:
                    self._read_file(part)
            except Rejected as error:
                if error.reason_code in LOST and part.kind != "search":
                    raise
                log.warning("a part cannot be read: %s", error.detail, extra={"code": error.reason_code})
                failed = error
        if failed is not None:
            raise failed

    def _read_file(self, part: Part) -> None:
        """A file, begun again where it breaks off, behind the lines that are in the inbox."""
        tries = 0
        while True:
            try:
                self._read_lines(part)
                return
            except EhrUnavailable as error:
                (now,) = [one for one in self._state.parts(self._id) if one.number == part.number]
                tries = 0 if now.lines > part.lines else tries + 1
                part = now
                wait = error.retry_after_s if error.retry_after_s is not None else min(2.0**tries, 30.0)
                if tries >= TRIES_WITHOUT_PROGRESS or wait > self._client.http.limits.waits_seconds:
                    raise
                self._say("the server broke off; asking again")
                self._nap(wait)

    def _read_lines(self, part: Part) -> None:
        file = File("output", part.resource_type, part.url, part.with_login, part.total)
        most = self._settings.max_body_bytes
        rows: list[bytes | None] = []
        size = 0
        for line in lines(self._client.http, file, most_bytes=most, skip=part.lines):
            rows.append(line)
            size += len(line or b"")
            if len(rows) >= BATCH_LINES or size >= BATCH_BYTES:
                self._state.add(self._id, part, self._batch(part, rows))
                self._say("")
                rows, size = [], 0
        self._state.add(self._id, part, self._batch(part, rows), through=True)
        self._say("")

    def _read_search(self, part: Part) -> None:
        """The pages of a search, from the one at which it was cut off; from the first where that is not there now."""
        first = self._search_part(part.number, part.resource_type).url
        try:
            self._read_pages(part)
        except Rejected as error:
            if error.reason_code in ("ehr-not-found", "ehr-not-supported") and part.lines == 0:
                self._state.add(self._id, part, Batch(passed_over=Counter(["type-not-offered"])), through=True)
                self._say(f"the server does not offer {part.resource_type}")
                return
            unsorted = first.replace("&_sort=_lastUpdated", "")
            if error.reason_code not in (*LOST, "ehr-refused") or part.url == unsorted:
                raise
            restart = first if part.url != first else unsorted  # an expired page; else a server that cannot sort
            self._state.add(self._id, part, Batch(), url=restart, lines=0)
            self._read_search(replace(part, url=restart, lines=0))

    def _read_pages(self, part: Part) -> None:
        for page in self._client.pages(part.resource_type, (), start=part.url, pages=1_000_000):
            bodies: list[bytes | None] = [json.dumps(row, ensure_ascii=False).encode() for row in page.resources]
            batch = self._batch(part, bodies)
            self._state.add(self._id, part, batch, url=page.following, through=page.following is None)
            self._say("")

    def _batch(self, part: Part, rows: list[bytes | None]) -> Batch:
        """Into the inbox, all of it; what cannot be is counted by reason."""
        self._take()
        batch = Batch(lines=len(rows))
        if part.kind == "error":
            batch.passed_over.update(code for row in rows for code in _outcome(row))
            return batch
        events = []
        for row in rows:
            if row is None:
                batch.passed_over["too-large"] += 1
                continue
            found = self._source.events(row)
            events += found.events
            batch.passed_over.update(found.passed_over)
        if events:
            self._wait_for_room()
            receipts = self._inbox.accept(events)
            batch.known = sum(receipt.repeat for receipt in receipts)
            batch.fresh = len(receipts) - batch.known
        return batch

    def _wait_for_room(self) -> None:
        until = time.monotonic() + LONGEST_FULL_SECONDS
        while True:
            try:
                self._room.check()
                return
            except StoreUnavailable as error:
                if error.reason_code != "inbox-full" or time.monotonic() > until:
                    raise
                self._say("the inbox is half full: waiting for the workers")
                self._nap(NAP_SECONDS)

    def _end(self) -> Backfill:
        work = self._state.show(self._id)
        if work.status_url is not None:
            done_with(self._client.http, work.status_url)
        self._state.done(self._id)
        return self._state.show(self._id)

    def _say(self, text: str) -> None:
        self._report(self._state.show(self._id), self._state.parts(self._id), text)

    def _nap(self, seconds: float) -> None:
        """Sleep in slices, and keep the right to go on."""
        left = seconds
        while left > 0:
            self._sleep(min(left, HOLD_SECONDS / 4))
            left -= HOLD_SECONDS / 4
            self._take()

    def _take_over(self) -> None:
        """Take the right to work on it, waiting for that of a process that was killed to run out."""
        until = time.monotonic() + HOLD_SECONDS + 2.0
        while not self._state.hold(self._id, self._holder, HOLD_SECONDS):
            if time.monotonic() > until:
                raise Superseded(f"another process works on back-fill {self._id}; wait for it, or stop it")
            self._say("another process had begun it: waiting until its right has run out")
            self._sleep(NAP_SECONDS)

    def _take(self) -> None:
        """Keep the right to go on; renewed in the database every few seconds."""
        if time.monotonic() < self._held_until:
            return
        if not self._state.hold(self._id, self._holder, HOLD_SECONDS):
            raise Superseded(f"another process took over back-fill {self._id}; this one stops")
        self._held_until = time.monotonic() + HOLD_SECONDS / 4


def _part(number: int, file: File) -> Part:
    return Part(number, file.kind, file.resource_type, file.url, file.with_login, file.count)


def _outcome(line: bytes | None) -> Iterator[str]:
    """The issue codes of an OperationOutcome; its words may hold a patient's data."""
    try:
        issues: Any = parse_json(line or b"").get("issue")
    except Rejected:
        issues = None
    codes = [row.get("code") for row in issues if isinstance(row, dict)] if isinstance(issues, list) else []
    stated = [code for code in codes if isinstance(code, str) and code.replace("-", "").isalpha()]
    yield from (f"server-{code[:40]}" for code in stated or ["unreadable"])
