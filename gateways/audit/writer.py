"""What the web service read for somebody goes into the audit log by one thread, in batches, beside the answers.

A call hands its entry over and goes on (microseconds). If the writer cannot keep up, callers wait for WAIT_SECONDS and
are then refused: a read that cannot be recorded does not happen. What a kill -9 can lose are the entries of the last
moments before it: those in the queue, GATHER_SECONDS old at most while the database answers.
"""

import logging
import threading
import time
from collections import deque
from typing import Final

from gateways.audit.log import Audit
from schemas.audit import AuditEntry
from schemas.errors import StoreUnavailable

MOST_WAITING: Final = 10_000
WAIT_SECONDS: Final = 0.25
GATHER_SECONDS: Final = 0.05
BATCH: Final = 500
IDLE_SECONDS: Final = 0.2
AGAIN_SECONDS: Final = 0.5
CLOSING_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class AuditWriter:
    """The queue and its thread, which starts with the first entry (so after a fork)."""

    def __init__(self, audit: Audit, *, most_waiting: int = MOST_WAITING) -> None:
        self._audit = audit
        # A deque and one event: a queue.Queue wakes its reader for every entry, which costs a call 100 us of the GIL.
        self._waiting: deque[AuditEntry] = deque()
        self._most_waiting = most_waiting
        self._there = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failing = False

    def note(self, entry: AuditEntry) -> None:
        """Have `entry` written soon. Raises StoreUnavailable where it could not be recorded: refuse the call then."""
        if self._thread is None:
            self._start()
        if len(self._waiting) >= self._most_waiting:
            self._wait_for_room()
        self._waiting.append(entry)
        if not self._there.is_set():
            self._there.set()

    def _wait_for_room(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while len(self._waiting) >= self._most_waiting:
            if time.monotonic() >= until:
                raise StoreUnavailable(
                    "the audit log cannot be written, and nothing is shown that is not recorded; try again soon",
                    code="audit-full",
                    retry_after_s=5.0,
                )
            time.sleep(0.005)

    def close(self) -> None:
        """Write what waits, for CLOSING_SECONDS at most."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_SECONDS)
        if left := len(self._waiting):
            log.error("audit entries were not written", extra={"code": "audit-lost", "entries": left})

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._waiting):
            batch = self._gathered()
            while batch and not self._written(batch):
                if self._closing.wait(AGAIN_SECONDS) and not self._written(batch):
                    log.error("audit entries were not written", extra={"code": "audit-lost", "entries": len(batch)})
                    return

    def _gathered(self) -> list[AuditEntry]:
        """What waits, and what comes within GATHER_SECONDS after the first of it."""
        if self._there.wait(IDLE_SECONDS) and len(self._waiting) < BATCH:
            self._closing.wait(GATHER_SECONDS)
        self._there.clear()  # before the entries are taken: one that comes in between sets it again
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if self._waiting:
            self._there.set()
        return batch

    def _written(self, batch: list[AuditEntry]) -> bool:
        try:
            self._audit.write(batch)
        except StoreUnavailable as error:
            if not self._failing:
                log.error("the audit log cannot be written: %s", error.detail, extra={"code": error.reason_code})  # noqa: TRY400 - our own sentence says it all
            self._failing = True
            return False
        if self._failing:
            log.warning("the audit log is written again", extra={"code": "audit-written"})
        self._failing = False
        return True
