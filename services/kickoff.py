"""What a call brought that the store does not have yet goes into the inbox, after the answer and in its own thread.

The facts that changed an answer must not be lost with it: they become events of the source `cds-<client>`, so that
the workers make the full assessment of them. A row that was there before is a repeat and changes nothing.
"""

import contextlib
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence

from gateways.queue.broker import Waker
from gateways.queue.inbox import Inbox
from schemas.errors import Unavailable
from schemas.events import IncomingEvent

MOST_WAITING = 256
KNOWN_KEPT = 4096
CLOSING_SECONDS = 2.0

log = logging.getLogger(__name__)


class Kickoff:
    """The thread that writes."""

    def __init__(self, inbox: Inbox, waker: Waker) -> None:
        self._inbox = inbox
        self._waker = waker
        self._waiting: queue.Queue[Sequence[IncomingEvent] | None] = queue.Queue(MOST_WAITING)
        self._known: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def offer(self, events: Sequence[IncomingEvent]) -> None:
        """Have these written soon; never waits. What was offered lately is not written again."""
        with self._lock:
            fresh = [row for row in events if _key(row) not in self._known]
            if not fresh:
                return
            try:
                self._waiting.put_nowait(fresh)
            except queue.Full:
                log.warning("prefetched facts are not kept: too many wait", extra={"code": "kickoff-full"})
                return
            self._known.update(dict.fromkeys(map(_key, fresh)))
            while len(self._known) > KNOWN_KEPT:
                self._known.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kickoff", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what was offered, for CLOSING_SECONDS at most."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while (events := self._waiting.get()) is not None:
            try:
                receipts = self._inbox.accept(events)
                self._waker.wake("event", [row.event for row in receipts if not row.repeat])
            except Unavailable as error:
                log.warning("prefetched facts are not kept: %s", error.detail, extra={"code": error.reason_code})
                with self._lock:
                    for row in events:
                        self._known.pop(_key(row), None)


def _key(event: IncomingEvent) -> tuple[str, str, str, str]:
    return event.source, event.resource_type, event.resource_id, event.version
