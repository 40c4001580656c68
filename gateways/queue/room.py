"""Whether there is room for more events: disk below the database, and an inbox that workers still keep up with."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from gateways.settings import Settings
from gateways.store.database import Database
from gateways.store.tables import OPEN_EVENTS, inbox
from schemas.errors import StoreUnavailable

LOOK_SECONDS = 1.0
DISK_RETRY_SECONDS = 60.0
INBOX_RETRY_SECONDS = 10.0
SAY_AGAIN_SECONDS = 30.0

log = logging.getLogger(__name__)


class Room:
    """Looks once a second at most, in whatever request comes first; the others go by what was seen last.

    A look that takes long (a large backlog) is taken less often, so that it costs at most a twentieth of the time.
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._limit = settings.inbox_limit
        self._least_bytes = settings.min_free_bytes
        self._place = _directory(settings) if database.is_sqlite else None
        self._clock = clock
        self._lock = threading.Lock()
        self._look_again_at = 0.0
        self._said_at = -SAY_AGAIN_SECONDS
        self._full: StoreUnavailable | None = None

    def due(self) -> bool:
        """Whether the next `check` will look, which may wait for the database."""
        return self._clock() >= self._look_again_at and not self._lock.locked()

    def check(self) -> None:
        """Return if there is room; raises StoreUnavailable (503 with Retry-After) otherwise. Some 0.2 us mostly."""
        if self._clock() >= self._look_again_at and self._lock.acquire(blocking=False):
            began = self._clock()
            try:
                self._full = self._look()
            finally:
                ended = self._clock()
                self._look_again_at = ended + max(LOOK_SECONDS, 20.0 * (ended - began))
                self._lock.release()
        if self._full is not None:
            raise StoreUnavailable(
                self._full.detail, code=self._full.reason_code, retry_after_s=self._full.retry_after_s
            )

    def _look(self) -> StoreUnavailable | None:
        full = self._disk() or self._inbox()
        if full is not None and self._clock() - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = self._clock()
            log.error("%s", full.detail, extra={"code": full.reason_code})
        return full

    def _disk(self) -> StoreUnavailable | None:
        if self._place is None:
            return None
        try:
            found = os.statvfs(self._place)
        except OSError:
            return None  # the write itself will say what is wrong
        if found.f_bavail * found.f_frsize >= self._least_bytes:
            return None
        text = "the disk is nearly full (VBQ_MIN_FREE_BYTES): nothing is taken until there is room; send again later"
        return StoreUnavailable(text, code="disk-nearly-full", retry_after_s=DISK_RETRY_SECONDS)

    def _inbox(self) -> StoreUnavailable | None:
        beyond = select(inbox.c.id).where(OPEN_EVENTS).order_by(inbox.c.due_at).limit(1).offset(self._limit)
        exact = select(func.count()).select_from(inbox).where(OPEN_EVENTS, inbox.c.state != "dead")
        try:
            with self._database.read() as connection:
                if connection.execute(beyond).one_or_none() is None:  # walks over the small index alone
                    return None
                if (connection.scalar(exact) or 0) <= self._limit:  # dead letters are in that index too
                    return None
        except StoreUnavailable as error:
            return error
        text = (
            f"more than {self._limit} events wait to be read (VBQ_INBOX_LIMIT): nothing is taken until workers have "
            "caught up; send again later"
        )
        return StoreUnavailable(text, code="inbox-full", retry_after_s=INBOX_RETRY_SECONDS)


def _directory(settings: Settings) -> Path:
    return Path(make_url(settings.database).database or settings.data_dir).parent
