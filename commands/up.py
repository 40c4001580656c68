"""`vbq up`: the embedded stack on one machine: Redis from a wheel, SQLite, web service, worker, sweeper, receiver."""

import fcntl
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from commands.listeners import listens
from commands.processes import serve_command, sweep_command, work_command
from commands.signs_of_life import Answers, Silence, beats, local, stopped
from commands.supervisor import Child, Supervisor
from gateways.logs import configure
from gateways.queue import redis_server
from gateways.queue.wakeups import Wakeups
from gateways.settings import Settings, load_settings
from gateways.store.database import Database
from schemas.errors import Forbidden, NotConfigured, Unavailable

REDIS_SECONDS = 10.0
READY_SECONDS = 60.0
LOOK_SECONDS = 0.1
RECEIVE = [sys.executable, "-m", "commands", "receive", "--wait", "30"]  # for the one that it takes the place of
SERVICE_SILENCE_SECONDS = 45.0  # all its threads may wait for a PostgreSQL that is half-open, 20 s each
SWEEPER_SILENCE_SECONDS = 45.0


class _Stop(Exception):
    """SIGINT or SIGTERM came."""


class _Renewal:
    """SIGHUP came, and how often it was looked at."""

    def __init__(self) -> None:
        self._came = False

    def ask(self, _number: int, _frame: object) -> None:
        self._came = True

    def asked(self) -> bool:
        came, self._came = self._came, False
        return came


@click.command()
def up() -> None:
    """Run the whole stack until Ctrl-C. Data below VBQ_DATA_DIR; what was accepted is finished after a restart.

    SIGHUP replaces web service, worker and sweeper by new processes (new code, VBQ_CONFIG read again) without a gap,
    and the receiver with one of a second or two.
    """
    settings = load_settings()
    configure(settings.log_level, "up")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    supervisor = Supervisor()
    renew = _Renewal()
    signal.signal(signal.SIGHUP, renew.ask)
    try:
        with sole_instance(settings.data_dir):
            settings = with_port(settings)
            try:
                start(supervisor, settings)
                say_ready(settings)
                while True:
                    if renew.asked():
                        supervisor.renew()
                    supervisor.tend()
                    time.sleep(LOOK_SECONDS)
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave orphans
                supervisor.stop()
    except _Stop:
        click.echo("vbq: stopped; what was accepted and not finished goes on after the next start", err=True)


def start(supervisor: Supervisor, settings: Settings) -> None:
    """Start everything in order and return when it works. Raises Unavailable, naming the part that does not."""
    environment = {
        **os.environ,
        "VBQ_DATA_DIR": str(settings.data_dir.absolute()),
        "VBQ_PORT": str(settings.port),
        "REMAP_SIGTERM": "SIGQUIT",
    }
    if not settings.redis_url:
        command = redis_server.command(settings.data_dir)
        supervisor.start(Child("redis", command, environment, grace_seconds=3.0, renewable=False))
        url = redis_server.broker_url("", settings.data_dir)
        wait(supervisor, "Redis", REDIS_SECONDS, lambda: redis_server.answers(url))
    database = Database(settings.database)
    database.migrate()
    wakeups = Wakeups(database)
    embedded = not settings.database_url
    if embedded:
        wakeups.free_all()  # nobody else works on this directory: claims of an earlier life are void
    database.close()
    started = time.time()
    for child in programs(settings, environment):
        supervisor.start(child)
    receives = settings.structured().receive is not None
    if receives:
        supervisor.start(Child("receiver", RECEIVE, environment, grace_seconds=15.0))
    wait(supervisor, "the service", READY_SECONDS, lambda: answers_ready(settings))
    for what, name in [("the worker", "worker"), ("the storage SCP", "receive")][: 1 + receives]:
        beat = settings.data_dir / f"{name}.heartbeat"
        wait(supervisor, what, READY_SECONDS, partial(beaten, beat, started))


def programs(settings: Settings, environment: Mapping[str, str]) -> list[Child]:
    """Web service, sweeper and worker. What a worker held that dies is freed by the sweeper, which sees it."""
    beat = settings.data_dir / "sweeper.heartbeat"
    return [
        Child(
            "service",
            serve_command(settings),
            environment,
            ready=lambda pid: listens(pid, settings.port),
            silence=Silence(Answers(local(settings.host), settings.port)),
            longest_silence_seconds=SERVICE_SILENCE_SECONDS,
            stopped=partial(stopped, leader_only=False),
        ),
        Child(
            "sweeper",
            sweep_command(),
            environment,
            grace_seconds=5.0,
            silence=Silence(beats(beat)),
            longest_silence_seconds=SWEEPER_SILENCE_SECONDS,
            stopped=partial(stopped, leader_only=True),
        ),
        Child(
            "worker",
            work_command(),
            environment,
            grace_seconds=13.0,
            orphan_signal=signal.SIGKILL,  # a drain would hold up the next start; its claims are freed and done again
            silence=Silence(beats(settings.data_dir / "worker.heartbeat")),
            stopped=partial(stopped, leader_only=True),  # it looks after its children itself (workers/pulse.py)
        ),
    ]


def beaten(beat: Path, since: float) -> bool:
    """Whether a heartbeat's file was touched after `since` (seconds since 1970)."""
    return beat.exists() and beat.stat().st_mtime >= since - 1.0


def wait(supervisor: Supervisor, what: str, seconds: float, ready: Callable[[], bool]) -> None:
    """Until `ready`. Raises Unavailable if a process ends meanwhile or `seconds` have passed."""
    until = time.monotonic() + seconds
    while not ready():
        if (fallen := supervisor.fallen()) is not None:
            raise Unavailable(
                f"the {fallen.name} ended with status {fallen.status} while starting; its own words are above",
                code="start-failed",
            )
        if time.monotonic() > until:
            raise Unavailable(f"{what} was not ready within {seconds:.0f} s; look above", code="start-failed")
        time.sleep(0.05)


def answers_ready(settings: Settings) -> bool:
    """Whether /readyz says 200."""
    connection = http.client.HTTPConnection(local(settings.host), settings.port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def say_ready(settings: Settings) -> None:
    """The line that scripts may wait for."""
    base = settings.base_url
    where = f"events: {base}/events  CDS Hooks: {base}/cds-services  results: {base}/fhir/RiskAssessment"
    click.echo(f"vbq: ready at {base}  ({where})  data: {settings.data_dir.absolute()}  Ctrl-C stops", err=True)
    if settings.dev_open:
        click.echo("vbq: VBQ_DEV_OPEN=1: everybody on this machine is let in; never with real patients", err=True)


@contextmanager
def sole_instance(data_dir: Path) -> Iterator[None]:
    """Hold the data directory. Raises Forbidden while another `vbq up` has it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "studies").mkdir(exist_ok=True)
        guard = (data_dir / "up.lock").open("w")
    except OSError as error:
        raise NotConfigured(f"VBQ_DATA_DIR cannot be written to: {error.strerror}; choose another directory") from error
    with guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Forbidden(
                "another `vbq up` runs on this data directory; stop it, or set VBQ_DATA_DIR to another one",
                code="already-running",
            ) from error
        yield


def with_port(settings: Settings) -> Settings:
    """The settings with a port that is free; 0 means any. Raises Forbidden where somebody listens there."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is no obstacle
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Forbidden(
                f"port {settings.port} on {settings.host} cannot be had ({error.strerror}); "
                "stop what listens there, or set VBQ_PORT",
                code="port-taken",
            ) from error
        return settings.model_copy(update={"port": int(probe.getsockname()[1])})


def _stop(_number: int, _frame: object) -> None:
    raise _Stop
