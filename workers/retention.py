"""VBQ_RETENTION_DAYS, applied by the sweeper that leads: now and then, a little at a time."""

import logging
import time

from gateways.database import Database
from gateways.retention import BATCH, Retention

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
        self._due_at = time.monotonic() + SOON_SECONDS

    def tend(self) -> None:
        """Remove some if it is time. Raises StoreUnavailable."""
        if not self._days or time.monotonic() < self._due_at:
            return
        removed = self._retention.apply(self._days, actor="sweeper", most=MOST)
        more = removed.total >= MOST
        self._due_at = time.monotonic() + (SOON_SECONDS if more else EVERY_SECONDS)
        if removed.total:
            log.info("what was older than VBQ_RETENTION_DAYS was removed", extra=removed._asdict())
