"""Waiting for the database no longer than a call may take: a paused PostgreSQL must not hold every thread of ours."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import TypeVar

from schemas.errors import StoreUnavailable

T = TypeVar("T")


class Patience:
    """Runs reads in threads of its own and gives up when a call's time is over. Costs some 50 microseconds a read.

    Reads that hang keep their threads until the database answers again; calls meanwhile wait for their own time and
    get StoreUnavailable, and all is well by itself afterwards.
    """

    def __init__(self, *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    def __call__(self, work: Callable[[], T], until: float) -> T:
        """What `work` returns or raises. Raises StoreUnavailable at `until` (time.monotonic)."""
        future = self._pool.submit(work)
        try:
            return future.result(timeout=max(0.0, until - time.monotonic()))
        except WaitedTooLong as error:
            future.cancel()
            raise StoreUnavailable("the database did not answer within the call's time", retry_after_s=1.0) from error


def at_once(work: Callable[[], T], until: float) -> T:  # noqa: ARG001 - the shape of Patience.__call__
    """The same without waiting: SQLite in WAL mode answers readers whatever the writers do."""
    return work()
