"""Group commit: one thread writes what many threads bring, so that they share the wait for the disk.

A commit that survives a power cut costs a flush, whatever is in it. Sixteen requests that each commit alone wait for
sixteen flushes one after the other; sixteen requests in one transaction wait for one.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from schemas.errors import StoreUnavailable, VbqError

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_GROUP = 256
PATIENCE_SECONDS = 30.0


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


class GroupCommit(Generic[Item, Result]):
    """`submit` blocks until its item is on disk and returns what the commit made of it."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], *, name: str) -> None:
        """`commit` writes all items in one transaction and returns one result for each, in order."""
        self._commit = commit
        self._name = name
        self._waiting: queue.SimpleQueue[_Ticket[Item, Result] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Write `item`. Raises what the commit raised; StoreUnavailable if the writer does not get to it in time."""
        if self._thread is None:
            self._start()
        ticket: _Ticket[Item, Result] = _Ticket(item)
        self._waiting.put(ticket)
        if not ticket.lock.acquire(timeout=PATIENCE_SECONDS):
            raise StoreUnavailable("the database did not write within 30 s; send again")
        if ticket.error is not None:
            raise ticket.error
        return cast("Result", ticket.result)

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

    def _write(self, group: list[_Ticket[Item, Result]]) -> None:
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
