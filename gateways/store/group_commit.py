"""Group commit: one thread writes what many threads bring, so that they share the wait for the disk.

A commit that survives a power cut costs a flush, whatever is in it. Sixteen requests that each commit alone wait for
sixteen flushes one after the other; sixteen requests in one transaction wait for one.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from schemas.errors import StoreUnavailable, VbqError

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_GROUP = 256
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 1.0


class _Ticket(Generic[Item, Result]):
    """One item and the lock that its thread waits on: a tenth of the cost of a concurrent.futures.Future."""

    __slots__ = ("error", "item", "lock", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.lock.acquire()

    def settle(self, result: Result | None, error: BaseException | None = None) -> None:
        self.result, self.error = result, error
        self.lock.release()


class _Awaited(Generic[Item, Result]):
    """One item and the future that a coroutine waits on; set in the loop's thread."""

    __slots__ = ("error", "future", "item", "result", "until")

    def __init__(self, item: Item, future: "asyncio.Future[Result]", until: float) -> None:
        self.item = item
        self.future = future
        self.until = until
        self.result: Result | None = None
        self.error: BaseException | None = None

    def settle(self, result: Result | None, error: BaseException | None = None) -> None:
        self.result, self.error = result, error

    def tell(self) -> None:
        if self.future.done():  # given up
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast("Result", self.result))


class GroupCommit(Generic[Item, Result]):
    """`submit` blocks until its item is on disk and returns what the commit made of it; `submit_soon` is awaited."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], *, name: str) -> None:
        """`commit` writes all items in one transaction and returns one result for each, in order."""
        self._commit = commit
        self._name = name
        self._waiting: queue.SimpleQueue[_Ticket[Item, Result] | _Awaited[Item, Result] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._awaited: deque[_Awaited[Item, Result]] = deque()  # of the one loop that calls submit_soon

    def submit(self, item: Item) -> Result:
        """Write `item`. Raises what the commit raised; StoreUnavailable if the writer does not get to it in time."""
        if self._thread is None:
            self._start()
        ticket: _Ticket[Item, Result] = _Ticket(item)
        self._waiting.put(ticket)
        if not ticket.lock.acquire(timeout=PATIENCE_SECONDS):
            raise _too_late()
        if ticket.error is not None:
            raise ticket.error
        return cast("Result", ticket.result)

    def submit_soon(self, item: Item) -> "asyncio.Future[Result]":
        """The same on an event loop, which hears once of all the items of a commit. For one loop in a process."""
        if self._thread is None:
            self._start()
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        ticket: _Awaited[Item, Result] = _Awaited(item, loop.create_future(), now + PATIENCE_SECONDS)
        if not self._awaited:
            loop.call_later(LOOK_SECONDS, self._look, loop)
        self._awaited.append(ticket)
        self._waiting.put(ticket)
        return ticket.future

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of what was answered, and give up on what has waited too long."""
        now = time.monotonic()
        while self._awaited and (self._awaited[0].future.done() or self._awaited[0].until <= now):
            future = self._awaited.popleft().future
            if not future.done():
                future.set_exception(_too_late())
        if self._awaited:
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def close(self) -> None:
        """Write what was submitted, then stop the thread."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(PATIENCE_SECONDS)
            self._thread = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:  # made at the first use: a thread does not survive a fork
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        more = True
        while more:
            first = self._waiting.get()
            group = [first]
            with contextlib.suppress(queue.Empty):
                while len(group) < LARGEST_GROUP:
                    group.append(self._waiting.get_nowait())
            more = None not in group
            self._write([row for row in group if row is not None])
            awaited = [row for row in group if isinstance(row, _Awaited)]
            if awaited:
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    awaited[0].future.get_loop().call_soon_threadsafe(_tell, awaited)

    def _write(self, group: list[_Ticket[Item, Result] | _Awaited[Item, Result]]) -> None:
        if not group:
            return
        try:
            results = self._commit([ticket.item for ticket in group])
        except VbqError as error:
            for ticket in group:
                ticket.settle(None, error)
        except DBAPIError as error:  # one item that the database refuses must not take its neighbours with it
            if len(group) == 1:
                refused = StoreUnavailable(f"the database refused a row ({type(error.orig).__name__})")
                refused.__cause__ = error
                group[0].settle(None, refused)
            else:
                for ticket in group:
                    self._write([ticket])
        except BaseException as error:
            for ticket in group:
                ticket.settle(None, error)  # the requests fail loudly instead of waiting for a dead thread
            if not isinstance(error, Exception):
                raise
        else:
            for ticket, result in zip(group, results, strict=True):
                ticket.settle(result)


def _tell(tickets: "list[_Awaited[Any, Any]]") -> None:
    for ticket in tickets:
        ticket.tell()


def _too_late() -> StoreUnavailable:
    return StoreUnavailable(f"the database did not write within {PATIENCE_SECONDS:.0f} s; send again")
