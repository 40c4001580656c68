"""A disk that is really full: a file system of some megabytes with nothing left on it, as root may mount one."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from gateways.queue.wakeups import Wakeups
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import StoreUnavailable
from services.app import create_app
from services.outside import Outside, connect
from tests import records
from tests.stack import wait_until

PIECE = b"x" * 2**14


@pytest.fixture
def small_disk(short_dir: Path) -> Iterator[Path]:
    place = short_dir / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here (it needs root)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(params=[0, 2**20], ids=["the write fails", "seen before the write"])
def settings(request: pytest.FixtureRequest, small_disk: Path) -> Settings:
    return Settings(data_dir=small_disk, dev_open=True, min_free_bytes=request.param)


@pytest.fixture
def outside(settings: Settings) -> Iterator[Outside]:
    database = Database(settings.database)
    database.migrate()
    database.close()
    made = connect(settings)
    yield made
    made.close()


def fill(place: Path) -> Path:
    """Nothing is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (PIECE, b"x" * 64):
            try:
                while file.write(piece) == len(piece):
                    pass
            except OSError:
                continue
    assert os.statvfs(place).f_bavail == 0
    return filler


def ask_without_end(database: Database) -> None:
    """As a worker writes; the write-ahead log has some pages left."""
    for number in range(5000):
        with database.write() as connection:
            Jobs(database).bump(connection, "assess", f"Patient/{number}" * 20, "Patient/p")


def send(client: FlaskClient, number: int) -> Any:
    return client.post("/events", json=records.patient(f"p{number}"), content_type="application/fhir+json")


def test_a_full_disk_is_said_and_what_was_accepted_before_and_after_is_there(
    settings: Settings, outside: Outside, small_disk: Path
) -> None:
    client = create_app(settings, outside, {}).test_client()
    accepted = [number for number in range(5) if send(client, number).status_code == 202]
    assert len(accepted) == 5
    filler = fill(small_disk)
    refused = None
    for number in range(5, 2000):  # the write-ahead log has some pages left
        answer = send(client, number)
        if answer.status_code != 202:
            refused = answer
            break
        accepted.append(number)
    assert refused is not None
    assert refused.status_code == 503
    assert refused.headers["Retry-After"].isdigit()

    # a worker that comes now can claim nothing, and is told so; it ends nothing
    database = Database(settings.database)
    with pytest.raises(StoreUnavailable):
        ask_without_end(database)
    assert Wakeups(database).free_dead() == 0, "reading goes on"

    filler.unlink()
    again = wait_until(lambda: (found := send(client, 5000)).status_code == 202 and found, 30, "room again")
    assert again.get_json()["resourceType"] == "OperationOutcome"
    inbox = Inbox(database)
    names = {row.resource.partition("/")[2] for row in inbox.list(count=5000)}
    assert {f"p{number}" for number in accepted} | {"p5000"} <= names
    assert inbox.claim(), "and it is worked on"
    inbox.close()
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    database.close()


def test_a_full_disk_does_not_look_like_a_slow_one(small_disk: Path) -> None:
    """The error comes at once, not after the patience for a locked database."""
    database = Database(f"sqlite:///{small_disk / 'x.sqlite3'}")
    database.migrate()
    fill(small_disk)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        ask_without_end(database)
    assert time.monotonic() - begun < 8.0
    database.close()
