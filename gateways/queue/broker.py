"""Celery as the engine, the broker as a wake-up call: a message says "look at row N", and may be lost without harm."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gateways.queue.inbox import BATCH
from gateways.queue.redis_server import broker_url
from gateways.queue.wake_channel import WakeChannel, WakeKind
from gateways.settings import Settings
from schemas.errors import BrokerUnavailable

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["QUEUES", "Sender", "WakeKind", "Waker", "broker_errors", "make_app", "task_name"]

QUEUES: dict[WakeKind, str] = {
    "event": "events",
    "measure": "imaging",
    "assess": "assess",
    "publish": "publish",
    "fetch": "fetch",
}
AS_DECLARED = {"passive": False, "durable": True, "auto_delete": False}  # as Celery declares them: RabbitMQ compares
LONGEST_BACKLOG = 10_000
SAY_AGAIN_SECONDS = 30.0
AWAY_SECONDS = 0.5

log = logging.getLogger(__name__)


def make_app(settings: Settings, *, trying: Callable[[], None] = lambda: None) -> "Celery":
    """The Celery application without its tasks; `trying` is called at each vain try to reach the broker.

    Import of Celery happens here: a program that sends nothing skips it.

    Every setting that differs from Celery's own is there because a fault was measured without it: see docs on
    reliability. The broker holds nothing that matters, so it is never worth waiting for.
    """
    from celery import Celery
    from kombu import Queue

    from gateways.queue.reconnecting import with_connection

    url = settings.broker_url or broker_url(settings.redis_url, settings.data_dir)
    app = Celery("vbq", broker=url, set_as_current=False, amqp=with_connection(trying))
    app.conf.update(
        # A call that is lost is made again, so none is acknowledged to Redis. kombu counts a call whose acknowledgement
        # failed (Redis slow or cut) as one in hand for ever: after as many as it has children, a worker takes no more.
        task_queues=[Queue(name, no_ack=not is_amqp(url)) for name in QUEUES.values()],
        task_routes={task_name(kind): {"queue": queue} for kind, queue in QUEUES.items()},
        task_default_queue=QUEUES["event"],
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        enable_utc=True,
        # RabbitMQ keeps a call until its task ended, and gives it again if its worker died. With Redis it is forgotten
        # at once: at the end of the task the connection may be another one, and Celery ends on that.
        task_acks_late=is_amqp(url),
        task_reject_on_worker_lost=is_amqp(url),
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=not is_amqp(url),  # Celery has it for Redis alone
        task_time_limit=settings.task_seconds,
        task_soft_time_limit=max(1, int(settings.task_seconds * 0.9)),
        worker_max_tasks_per_child=2000,
        worker_max_memory_per_child=2_000_000,  # kB
        # A drain: children finish what they hold. Celery sleeps for all of it if they hold anything: long enough for a
        # measurement, short enough for a start after it. What is not done is freed, fenced and done again.
        worker_soft_shutdown_timeout=8.0,
        worker_enable_soft_shutdown_on_idle=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the row's lease decides, not the broker
        # Publishing while the broker is away costs a tenth of a second, not forty.
        task_publish_retry=False,
        broker_connection_timeout=1.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=10,  # RabbitMQ's; Redis has none
        broker_transport_options=transport_options(url, settings.task_seconds),
        # Nothing asks workers over the broker: the database knows what they do, a heartbeat file that they live.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def is_amqp(url: str) -> bool:
    """Whether `url` is that of a RabbitMQ."""
    return url.startswith(("amqp", "pyamqp"))


def transport_options(url: str, task_seconds: int) -> dict[str, Any]:
    """What kombu's transport for `url` understands: to give up soon on a broker that is away, or says nothing."""
    soon = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.0, "interval_max": 0.1}
    if is_amqp(url):
        # The broker says that it has the message; without that a full or failing node drops it without a word.
        return {**soon, "confirm_publish": True, "connect_timeout": 1.0, "read_timeout": 15.0, "write_timeout": 2.0}
    return {
        **soon,
        "visibility_timeout": 2 * task_seconds + 60,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 2.0,
        "socket_connect_timeout": 1.0,
    }


def task_name(kind: WakeKind) -> str:
    """The name under which the workers know the task."""
    return f"vbq.{kind}"


def broker_errors() -> tuple[type[Exception], ...]:
    """What a broker that is away looks like: kombu wraps some of it, and lets the driver's own errors through."""
    from amqp.exceptions import AMQPError
    from kombu.exceptions import OperationalError
    from redis import RedisError

    return (OperationalError, RedisError, AMQPError, OSError)


class Sender:
    """Sends Celery messages over one connection. Not for more than one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Celery | None = None

    def send(self, kind: WakeKind, row: int) -> None:
        """Tell a worker to look at row `row`. Raises BrokerUnavailable, soon."""
        try:
            self._celery().send_task(task_name(kind), args=[row], ignore_result=True)
        except broker_errors() as error:
            raise BrokerUnavailable("the broker does not answer; the work waits in the database") from error

    def waiting(self, kind: WakeKind) -> int:
        """How many messages wait in the queue of `kind`. Raises BrokerUnavailable."""
        app = self._celery()
        try:
            with app.connection_for_write() as connection:
                channel: Any = connection.default_channel
                return int(channel.queue_declare(QUEUES[kind], **AS_DECLARED).message_count)
        except broker_errors() as error:
            raise BrokerUnavailable("the broker does not answer; the work waits in the database") from error

    def close(self) -> None:
        if self._app is not None:
            self._app.close()
            self._app = None

    def _celery(self) -> "Celery":
        if self._app is None:
            self._app = make_app(self._settings)
        return self._app


class Waker:
    """The relay of a service process: tells the sweeper of new rows after a commit, from its own thread.

    `wake` only notes what to send, so a request never waits for the broker. What cannot be sent is dropped: the
    sweeper finds it in the database. Of many new events only some are announced, since a worker that is woken for one
    takes up to BATCH with it.
    """

    def __init__(self, settings: Settings, *, send: Callable[[WakeKind, int], None] | None = None) -> None:
        """`send` stands in for WakeChannel.publish where a test listens."""
        self._channel = WakeChannel(settings)
        self._send = send or self._channel.publish
        self._notes: deque[tuple[WakeKind, int]] = deque(maxlen=LONGEST_BACKLOG)
        self._news = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._said_at = -SAY_AGAIN_SECONDS

    def wake(self, kind: WakeKind, rows: Iterable[int]) -> None:
        """Have a worker look at these rows soon; returns at once. Call it after the commit."""
        self._notes.extend((kind, row) for row in rows)
        if self._thread is None:
            self._start()
        self._news.set()

    def close(self) -> None:
        """Send what was noted, for two seconds at most."""
        self._closing = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(2.0)
        self._channel.close()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:  # made at the first use: a thread does not survive a fork
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not (self._closing and not self._notes):
            self._news.wait(1.0)
            self._news.clear()
            try:
                for kind, row in self._taken():
                    self._send(kind, row)
            except BrokerUnavailable as error:
                self._notes.clear()
                if time.monotonic() - self._said_at > SAY_AGAIN_SECONDS:
                    self._said_at = time.monotonic()
                    log.warning("%s", error.detail, extra={"code": error.reason_code})
                if not self._closing:
                    time.sleep(AWAY_SECONDS)  # asking for every event would cost more than the events

    def _taken(self) -> list[tuple[WakeKind, int]]:
        """What was noted, with only the first of each BATCH new events."""
        noted: list[tuple[WakeKind, int]] = []
        while self._notes:
            noted.append(self._notes.popleft())
        events = [note for note in noted if note[0] == "event"]
        return [*(note for note in noted if note[0] != "event"), *events[::BATCH]]
