"""From a service to the sweeper: "row N is new", over Redis's PUBLISH. The sweeper hands it to a worker (Celery).

A service sends no Celery message itself: the client costs it 8 MB and half a millisecond of CPU for each. What is
published while nobody listens is gone, without harm: the sweeper finds the row in the database.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from gateways.queue.redis_server import broker_url
from gateways.settings import Settings
from schemas.errors import BrokerUnavailable

if TYPE_CHECKING:
    import redis

WakeKind = Literal["event", "measure", "assess", "publish", "fetch"]
KINDS = frozenset(get_args(WakeKind))
CHANNEL = "vbq:wake"
ANSWER_SECONDS = 1.0
REST_SECONDS = 0.5
SILENCE_SECONDS = 30.0  # then the ear subscribes anew: a half-open connection looks like one with no news

log = logging.getLogger(__name__)


class WakeChannel:
    """Both ends of it. One connection each; not for more than one thread."""

    def __init__(self, settings: Settings) -> None:
        self._url = broker_url(settings.redis_url, settings.data_dir).replace("redis+socket://", "unix://")
        self._client: redis.Redis | None = None

    def publish(self, kind: WakeKind, row: int) -> None:
        """Tell whoever listens. Raises BrokerUnavailable, soon."""
        import redis

        try:
            self._connected().publish(CHANNEL, f"{kind} {row}")
        except (redis.RedisError, OSError) as error:
            self.close()
            raise BrokerUnavailable("the broker does not answer; the work waits in the database") from error

    def listen(self, heard: Callable[[WakeKind, int], None], stopped: threading.Event) -> None:
        """Call `heard` for each note until `stopped`. Never raises for a Redis that is away: it comes back."""
        import redis

        while not stopped.is_set():
            try:
                with self._connected().pubsub(ignore_subscribe_messages=True) as ear:
                    ear.subscribe(CHANNEL)
                    silent_until = time.monotonic() + SILENCE_SECONDS
                    while not stopped.is_set() and time.monotonic() < silent_until:
                        message = ear.get_message(timeout=REST_SECONDS)
                        if message is not None and (note := read(message["data"])) is not None:
                            silent_until = time.monotonic() + SILENCE_SECONDS
                            heard(*note)
            except (redis.RedisError, OSError, BrokerUnavailable):
                self.close()
                stopped.wait(REST_SECONDS)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Any:
        import redis

        if self._client is None:
            self._client = redis.Redis.from_url(
                self._url,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
                single_connection_client=False,
                max_connections=2,
            )
        return self._client


def read(note: bytes) -> tuple[WakeKind, int] | None:
    """`event 12` as its parts; None for what is no note of ours. Pure."""
    kind, _, row = note.decode("ascii", "replace").partition(" ")
    if kind not in KINDS or not row.isdecimal() or len(row) > 18:
        return None
    return cast("WakeKind", kind), int(row)
