"""VBQ_RETENTION_DAYS, applied by the sweeper that leads: now and then, a little at a time; and the audit log's head."""

import logging
import time

from gateways.audit.log import Audit
from gateways.records.retention import BATCH, Retention
from gateways.store.database import Database

EVERY_SECONDS = 3600.0
SOON_SECONDS = 5.0
MOST = 4 * BATCH

log = logging.getLogger(__name__)


class Housekeeping:
    """When to remove what is too old."""

    def __init__(self, database: Database, days: float) -> None:
        """`days` 0: nothing is ever removed."""
        self._retention = Retention(database)
        self._days = days
        self._due_at = self._say_at = time.monotonic() + SOON_SECONDS
        self._audit = Audit(database)

    def tend(self) -> None:
        """Remove some if it is time. Raises StoreUnavailable."""
        self._say_head()
        if not self._days or time.monotonic() < self._due_at:
            return
        removed = self._retention.apply(self._days, actor="sweeper", most=MOST)
        more = removed.total >= MOST
        self._due_at = time.monotonic() + (SOON_SECONDS if more else EVERY_SECONDS)
        if removed.total:
            log.info("what was older than VBQ_RETENTION_DAYS was removed", extra=removed._asdict())

    def _say_head(self) -> None:
        """Where the audit log's chain stands, for logs that are kept elsewhere: a shortened log then shows."""
        if time.monotonic() < self._say_at:
            return
        head = self._audit.checkpoint()
        self._say_at = time.monotonic() + EVERY_SECONDS
        log.info("audit log", extra={"sequence": head.sequence, "hash": head.hash})
