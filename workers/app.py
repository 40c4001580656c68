"""The Celery worker: one parent that listens, children that work. Wiring, and nothing else."""

import contextlib
import gc
import logging
import socket
from collections.abc import Sequence
from typing import Any

from celery import Celery, bootsteps, signals

from gateways.queue.broker import QUEUES, make_app
from gateways.settings import Settings
from schemas.errors import NotAcceptable
from schemas.events import RELEVANT_TYPES
from schemas.fhir.full import validate
from workers import pulse
from workers.bench import Bench
from workers.heartbeat import Heartbeat
from workers.pulse import Watch, begin
from workers.scratch import clear_scratch
from workers.tasks import register

BEAT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Worker:
    """One worker process group. `run` returns when it was told to stop and has drained."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bench: Bench | None = None  # each child opens its own after the fork
        heartbeat = Heartbeat(settings.data_dir, "worker")
        self._app: Celery = make_app(settings, trying=heartbeat.beat)  # its loop stands while it seeks its broker
        register(self._app, self._opened, settings)
        self._app.steps["worker"].add(_beating(heartbeat, Watch(settings.data_dir)))
        signals.setup_logging.connect(_keep_logging, weak=False)
        signals.worker_process_init.connect(self._start_child, weak=False)
        signals.worker_process_shutdown.connect(self._stop_child, weak=False)

    def run(self, queues: Sequence[str] = tuple(QUEUES.values())) -> int:
        """Work until SIGTERM or SIGINT; what is at work then is finished, or its lease runs out."""
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        if left := clear_scratch(self._settings.data_dir):
            log.warning("images that a killed worker left behind were removed", extra={"directories": left})
        Bench.open(self._settings).close()  # a wrong configuration ends the process now, not in each child
        preload()
        embedded = "embedded" if not self._settings.redis_url else "given"
        log.info("worker starts", extra={"queues": ",".join(queues), "broker": embedded})
        worker: Any = self._app.Worker(
            queues=list(queues),
            concurrency=self._settings.worker_concurrency,
            pool="prefork",
            hostname=f"worker@{socket.gethostname()}",
            loglevel=self._settings.log_level,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        return int(worker.exitcode or 0)

    def _opened(self) -> Bench:
        if self._bench is None:
            self._bench = Bench.open(self._settings)
        return self._bench

    def _start_child(self, **_: object) -> None:
        self._bench = None
        begin(self._settings.data_dir)
        self._opened()

    def _stop_child(self, **_: object) -> None:
        if self._bench is not None:
            self._bench.close()


def preload() -> None:
    """Import what every child needs before the fork: they share it, and the first event need not wait for it."""
    for name in (*RELEVANT_TYPES, "RiskAssessment", "Device", "Provenance", "Bundle"):
        with contextlib.suppress(NotAcceptable):  # it is empty; checking it builds the models of its type
            validate({"resourceType": name})
    gc.collect()
    gc.freeze()  # the collector of a child would otherwise copy every shared page by touching it


def _keep_logging(**_: object) -> None:
    """Celery asks whether somebody else sets up logging; being connected is the answer."""


def _beating(heartbeat: Heartbeat, watch: Watch) -> type[bootsteps.StartStopStep]:
    class Beating(bootsteps.StartStopStep):
        """The parent's event loop touches the file: it stops when the loop does. It also looks after the children."""

        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            heartbeat.beat()
            parent.timer.call_repeatedly(BEAT_SECONDS, heartbeat.beat)
            parent.timer.call_repeatedly(pulse.BEAT_SECONDS, watch.look)

    return Beating
