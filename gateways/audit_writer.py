"""What the web service read for somebody goes into the audit log by one thread, in batches, beside the answers.

A call hands its entry over and goes on (microseconds). If the writer cannot keep up, callers wait for WAIT_SECONDS and
are then refused: a read that cannot be recorded does not happen. What a kill -9 can lose are the entries of the last
moments before it: those in the queue, GATHER_SECONDS old at most while the database answers.
"""

import contextlib
import logging
import queue
import threading
import time
from typing import Final

from gateways.audit import Audit
from schemas.audit import AuditEntry
from schemas.errors import StoreUnavailable

MOST_WAITING: Final = 10_000
WAIT_SECONDS: Final = 0.25
GATHER_SECONDS: Final = 0.05
BATCH: Final = 500
AGAIN_SECONDS: Final = 0.5
CLOSING_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class AuditWriter:
    """The queue and its thread, which starts with the first entry (so after a fork)."""

    def __init__(self, audit: Audit, *, most_waiting: int = MOST_WAITING) -> None:
        self._audit = audit
        self._waiting: queue.Queue[AuditEntry] = queue.Queue(most_waiting)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failing = False

    def note(self, entry: AuditEntry) -> None:
        """Have `entry` written soon. Raises StoreUnavailable where it could not be recorded: refuse the call then."""
        if self._thread is None:
            self._start()
        try:
            self._waiting.put(entry, timeout=WAIT_SECONDS)
        except queue.Full:
            raise StoreUnavailable(
                "the audit log cannot be written, and nothing is shown that is not recorded; try again soon",
                code="audit-full",
                retry_after_s=5.0,
            ) from None

    def close(self) -> None:
        """Write what waits, for CLOSING_SECONDS at most."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_SECONDS)
        if left := self._waiting.qsize():
            log.error("audit entries were not written", extra={"code": "audit-lost", "entries": left})

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not (self._closing.is_set() and self._waiting.empty()):
            batch = self._gathered()
            while batch and not self._written(batch):
                if self._closing.wait(AGAIN_SECONDS) and not self._written(batch):
                    log.error("audit entries were not written", extra={"code": "audit-lost", "entries": len(batch)})
                    return

    def _gathered(self) -> list[AuditEntry]:
        """What waits, and what comes within GATHER_SECONDS after the first of it."""
        batch: list[AuditEntry] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._waiting.get(timeout=0.2))
            until = time.monotonic() + GATHER_SECONDS
            while len(batch) < BATCH and (left := until - time.monotonic()) > 0:
                batch.append(self._waiting.get(timeout=left))
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
