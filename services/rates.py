"""How fast a sender may push: a token bucket for each, in the memory of one web process.

`vbq up` and a pod of the chart run one web process each, so a site with n replicas lets n times as much in. The bucket
is there so that one sender's storm does not take the others' turn; what protects the store is services/room.py.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from werkzeug.exceptions import TooManyRequests

from schemas.config import Sender


class Rates:
    """The buckets of the senders that have a limit."""

    def __init__(self, senders: Sequence[Sender], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = {
            sender.name: Bucket(sender.requests_per_second, burst_of(sender), clock())
            for sender in senders
            if sender.requests_per_second
        }
        self._clock = clock
        self._lock = threading.Lock()

    def check(self, name: str) -> None:
        """Count a request of the sender `name`. Raises TooManyRequests (429) with Retry-After."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return
        with self._lock:
            wait = bucket.take(self._clock())
        if wait > 0:
            _too_many(name, math.ceil(wait))


def burst_of(sender: Sender) -> int:
    """How many requests of `sender` may come at once."""
    return sender.burst_requests or max(1, math.ceil(sender.requests_per_second or 1.0))


def _too_many(name: str, seconds: int) -> NoReturn:
    text = (
        f"the sender {name} sends more than its configured requests_per_second; nothing was taken, send again in "
        f"{seconds} s"
    )
    raise TooManyRequests(description=text, retry_after=seconds)


class Bucket:
    """Holds up to `most` and gains `per_second`."""

    def __init__(self, per_second: float, most: int, now: float) -> None:
        self._per_second = per_second
        self._most = float(most)
        self._left = float(most)
        self._at = now

    def take(self, now: float) -> float:
        """Take one; 0 where it was there, else the seconds until it will be (and nothing is taken)."""
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = max(self._at, now)
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._per_second
