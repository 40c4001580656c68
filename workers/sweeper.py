"""The sweeper: finds due work that nobody is at and wakes a worker for it. It alone makes lost messages harmless."""

import logging
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from gateways.queue import holders
from gateways.queue.broker import Sender
from gateways.queue.wake_channel import WakeChannel, WakeKind
from gateways.queue.wakeups import Wakeups
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import BrokerUnavailable, StoreUnavailable
from workers.heartbeat import Heartbeat
from workers.retention import Housekeeping

if TYPE_CHECKING:
    from workers.reconciling import Reconciler

LEAD_SECONDS = 5.0
LONGEST_QUEUE = 50  # each message there takes the oldest work; more would only grow while no worker listens
REST_SECONDS = 1.0
SAY_AGAIN_SECONDS = 30.0
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


class Sweeper:
    """One sweeper. Any number may run; the one that holds the lease works."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._holder = f"{holders.own() or f'{socket.gethostname()}:{os.getpid()}'}/{time.time_ns()}"
        self._database = Database(settings.database)
        self._wakeups = Wakeups(self._database)
        self._sender = Sender(settings)
        self._heartbeat = Heartbeat(settings.data_dir, "sweeper")
        self._ear = WakeChannel(settings)
        self._relay = Sender(settings)
        self._stop = threading.Event()
        self._reconciler: Reconciler | None = None
        self._housekeeping = Housekeeping(self._database, settings.retention_days)
        self._leads_until = 0.0
        self._said_at = -SAY_AGAIN_SECONDS
        self._beat_at = -BEAT_SECONDS
        self._looks_at = 0.0

    def run(self) -> int:
        """Sweep until SIGTERM or SIGINT."""
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        log.info("sweeper starts")
        if self._settings.reconcile_seconds > 0 and any(one.reads for one in self._settings.structured().senders):
            from workers.reconciling import Reconciler  # it needs a worker's hands, which weigh 60 MiB

            self._reconciler = Reconciler(self._settings)
            self._reconciler.start()
        ear = threading.Thread(target=self._ear.listen, args=(self._heard, self._stop), name="ear", daemon=True)
        ear.start()
        while not self._stop.is_set():
            self._stop.wait(self.sweep())
        ear.join(2.0)
        self.close()
        return 0

    def sweep(self) -> float:
        """One round; returns how many seconds to rest after it."""
        if time.monotonic() - self._beat_at >= BEAT_SECONDS:
            self._heartbeat.beat()
            self._beat_at = time.monotonic()
        try:
            if not self._lead():
                return REST_SECONDS
            self._bury()
            self._announce()
            self._housekeeping.tend()
        except (StoreUnavailable, BrokerUnavailable) as error:
            if time.monotonic() - self._said_at > SAY_AGAIN_SECONDS:
                self._said_at = time.monotonic()
                log.warning("%s", error.detail, extra={"code": error.reason_code})
            return REST_SECONDS
        return self._settings.sweep_seconds

    def _heard(self, kind: WakeKind, row: int) -> None:
        """A service has written a row: a worker hears of it now, not with the next sweep. Of several sweepers one."""
        if time.monotonic() >= self._leads_until:
            return
        try:
            self._relay.send(kind, row)
        except BrokerUnavailable:
            return  # the row stays due

    def close(self) -> None:
        """Let a successor begin at once."""
        if self._reconciler is not None:
            self._reconciler.stop()
        try:
            self._wakeups.leave(self._holder)
        except StoreUnavailable:
            log.info("the lease was not given back; it runs out by itself")
        self._sender.close()
        self._relay.close()
        self._ear.close()
        self._database.close()

    def _lead(self) -> bool:
        if time.monotonic() < self._leads_until:
            return True
        if not self._wakeups.lead(self._holder, seconds=LEAD_SECONDS + self._settings.sweep_seconds):
            return False
        self._leads_until = time.monotonic() + LEAD_SECONDS / 2
        return True

    def _bury(self) -> None:
        """What a process held that has died is due at once."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + LOOK_SECONDS
        if freed := self._wakeups.free_dead():
            log.warning("a worker died; what it had in hand is free", extra={"claims": freed})

    def _announce(self) -> None:
        found = self._wakeups.due()
        full: dict[WakeKind, bool] = {}
        for kind, row in found:
            if kind not in full:
                full[kind] = self._sender.waiting(kind) > LONGEST_QUEUE
            if not full[kind]:
                self._sender.send(kind, row)
