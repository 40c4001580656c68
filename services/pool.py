"""Threads for work that may wait, of which one computes at a time: the others wait, or have nothing to do.

Python computes in one thread at a time anyway. Many threads that all want to only hand the interpreter's lock to one
another, which costs more than a short answer does (docs/performance.md). So one thread works off what is asked, one
after the other, until what it is at takes longer than STUCK_SECONDS: then it is waiting for somebody, and another
thread goes on beside it.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

MOST_THREADS = 32
STUCK_SECONDS = 0.005


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: "asyncio.Future[Any]"


class Pool:
    """Belongs to one event loop. The threads end with the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, threads: int = MOST_THREADS) -> None:
        self._loop = loop
        self._most = threads
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()  # of what follows
        self._started = 0
        self._at_work = 0
        self._idle = threading.Semaphore(0)
        self._taken_at = 0.0
        self._watching = False

    def run(self, work: Callable[[], Result]) -> "asyncio.Future[Result]":
        """What `work` returns or raises. Call it in the loop's thread."""
        done: asyncio.Future[Result] = self._loop.create_future()
        with self._lock:
            self._jobs.append(_Job(work, done))
            first = self._at_work == 0
            self._at_work += first
        if first:
            self._send_one()
        elif not self._watching:
            self._watching = True
            self._loop.call_later(STUCK_SECONDS, self._watch)
        return done

    def _watch(self) -> None:
        """Send one more thread to work where jobs wait and none was taken for a while."""
        with self._lock:
            waiting = bool(self._jobs)
            stuck = time.monotonic() - self._taken_at >= STUCK_SECONDS
            more = waiting and stuck and self._at_work < self._most
            self._at_work += more
        if more:
            self._send_one()
        self._watching = waiting
        if waiting:
            self._loop.call_later(STUCK_SECONDS, self._watch)

    def _send_one(self) -> None:
        """Only the loop's thread starts threads, one for each that is at work at the same time."""
        if self._started < self._at_work:
            self._started += 1
            threading.Thread(target=self._live, name=f"pool-{self._started}", daemon=True).start()
        self._idle.release()

    def _live(self) -> None:
        while True:
            self._idle.acquire()
            while (job := self._next()) is not None:
                began = time.monotonic()
                self._do(job)
                if time.monotonic() - began >= STUCK_SECONDS and self._leaves():
                    break

    def _next(self) -> _Job | None:
        with self._lock:
            if not self._jobs:
                self._at_work -= 1
                return None
            self._taken_at = time.monotonic()
            return self._jobs.popleft()

    def _leaves(self) -> bool:
        """Whether another thread has taken over from one that was stuck."""
        with self._lock:
            leaves = self._at_work > 1
            self._at_work -= leaves
            return leaves

    def _do(self, job: _Job) -> None:
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            self._loop.call_soon_threadsafe(_fail, job.done, error)
        else:
            self._loop.call_soon_threadsafe(_settle, job.done, result)


def _settle(done: "asyncio.Future[Any]", result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: "asyncio.Future[Any]", error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
