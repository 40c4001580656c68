"""Waiting for the database no longer than a call may take: a paused PostgreSQL must not hold every thread of ours."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import TypeVar

from schemas.errors import StoreUnavailable

T = TypeVar("T")


class Patience:
    """Runs reads in threads of its own and gives up after `seconds`. Costs some 50 microseconds a call.

    Reads that hang keep their threads until the database answers again; calls meanwhile wait for their own time and
    get StoreUnavailable, and all is well by itself afterwards.
    """

    def __init__(self, *, seconds: float, threads: int) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises StoreUnavailable after the time."""
        future = self._pool.submit(work)
        try:
            return future.result(timeout=self._seconds)
        except WaitedTooLong as error:
            future.cancel()
            raise StoreUnavailable("the database did not answer within the call's time", retry_after_s=1.0) from error


def at_once(work: Callable[[], T]) -> T:
    """The same without waiting: SQLite in WAL mode answers readers whatever the writers do."""
    return work()
