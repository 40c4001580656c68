"""Who was not let in, for the audit log: counted, so that whoever knocks a thousand times a second fills no disk.

One row per window, door and address, and beyond MOST_SOURCES addresses one row for all others. An address is kept as a
hash under a key of this process: rows of one process can be told to be of one source, and nobody can tell which.
"""

import hashlib
import hmac
import logging
import secrets
import threading
from collections import Counter
from typing import Final

from gateways.audit.writer import AuditWriter
from schemas.audit import AuditEntry
from schemas.errors import StoreUnavailable

WINDOW_SECONDS: Final = 60.0
MOST_SOURCES: Final = 20
OTHERS: Final = "other addresses"
LAUNCH: Final = frozenset({"launch", "callback"})
DOORS: Final = frozenset({"events", "cds-services", "fhir", "review", *LAUNCH})

log = logging.getLogger(__name__)


class FailedLogins:
    """The counts of the window at hand. Safe to share between threads."""

    def __init__(self, writer: AuditWriter, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._writer = writer
        self._window_seconds = window_seconds
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._sources: set[str] = set()
        self._timer: threading.Timer | None = None

    def seen(self, status: int, path: str, address: str) -> None:
        """An answer went out: 401 anywhere, and 403 on the way to the review page, is a login that failed."""
        if status not in (401, 403):
            return
        door = path[1:].partition("/")[0]
        if status == 403 and door not in LAUNCH:
            return  # we know who it is, and that may not be done
        with self._lock:
            self._counts[door if door in DOORS else "other", self._source(address)] += 1
            if self._timer is None:
                self._timer = threading.Timer(self._window_seconds, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """The window ends: its counts become rows."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._sources = set()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        try:
            for (door, source), count in sorted(counts.items()):
                self._writer.note(self._entry(door, source, count))
        except StoreUnavailable as error:
            log.error("failed logins were not recorded: %s", error.detail, extra={"code": error.reason_code})  # noqa: TRY400 - our own sentence says it all

    def close(self) -> None:
        """Write what was counted. Before the writer is closed."""
        self.flush()

    def _source(self, address: str) -> str:
        digest = hmac.new(self._key, address.encode(), hashlib.sha256).hexdigest()[:12]
        if digest not in self._sources:
            if len(self._sources) >= MOST_SOURCES:
                return OTHERS
            self._sources.add(digest)
        return f"address {digest}"

    def _entry(self, door: str, source: str, count: int) -> AuditEntry:
        return AuditEntry(
            actor_kind="stranger",
            actor=source,
            action="login-failed",
            outcome="failure",
            detail={"door": door, "count": count, "seconds": round(self._window_seconds)},
        )
