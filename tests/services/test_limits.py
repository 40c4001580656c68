"""When a sender is too fast, and when there is no room: 429 and 503 with Retry-After, and never a 2xx without a row."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import TooManyRequests

from gateways.queue.room import LOOK_SECONDS, Room
from gateways.settings import Settings
from gateways.store import database as database_module
from gateways.store.database import Database
from schemas.config import Sender
from schemas.errors import StoreUnavailable
from schemas.fhir.full import validate
from services.outside import Outside
from services.rates import Bucket, Rates

TOKEN = {"Authorization": "Bearer made-up-token", "Content-Type": "application/fhir+json"}


def patient(number: int, size: int = 10) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "address": [{"text": "x" * size}]}


def test_a_sender_that_is_too_fast_hears_when_to_come_back(
    make_app: Callable[..., Flask], config: dict[str, Any]
) -> None:
    slow = {**config["senders"][0], "requests_per_second": 0.5, "burst_requests": 3}
    app = make_app({"senders": [slow, config["senders"][1]]}, dev_open=False)
    client = app.test_client()
    answers = [client.post("/events", json=patient(number), headers=TOKEN) for number in range(5)]
    assert [one.status_code for one in answers] == [202, 202, 202, 429, 429]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 2
    validate(answers[3].get_json())
    assert answers[3].get_json()["issue"][0]["code"] == "throttled"
    assert app.extensions["outside"].inbox.stats()["accepted"] == 3
    # a wrong token costs its owner's bucket nothing, and another sender has one of its own
    assert client.post("/events", json=patient(9), headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize(("per_second", "burst", "at_once"), [(0.2, None, 1), (4.5, None, 5), (4.5, 9, 9)])
def test_without_a_burst_of_its_own_a_sender_has_what_a_second_allows(
    per_second: float, burst: int | None, at_once: int
) -> None:
    limited = Sender(name="a", bearer_sha256="0" * 64, requests_per_second=per_second, burst_requests=burst)
    rates = Rates([limited], clock=lambda: 0.0)
    for _ in range(at_once):
        rates.check("a")
    with pytest.raises(TooManyRequests):
        rates.check("a")
    rates.check("another sender, who has no limit")


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 50), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    pauses: list[float], per_second: float, most: int
) -> None:
    bucket, now, given_out = Bucket(per_second, most, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        given_out += wait == 0
        assert given_out <= most + per_second * now + 1e-6
        if wait:
            assert bucket.take(now + wait + 1e-9) == 0, "after the wait that it named there is one"
            now, given_out = now + wait + 1e-9, given_out + 1


def test_a_full_inbox_is_503_until_workers_have_caught_up(make_app: Callable[..., Flask]) -> None:
    app = make_app(inbox_limit=5)
    outside: Outside = app.extensions["outside"]
    client = app.test_client()
    now = [0.0]
    room = Room(Settings(data_dir=Path(), inbox_limit=5), outside.database, clock=lambda: now[0])
    for number in range(6):
        assert client.post("/events", json=patient(number), headers=TOKEN).status_code == 202
    with pytest.raises(StoreUnavailable) as caught:
        room.check()
    assert (caught.value.reason_code, caught.value.retry_after_s) == ("inbox-full", 10.0)
    with outside.database.write() as connection:
        connection.exec_driver_sql("UPDATE inbox SET state = 'dead' WHERE id <= 3")
    with pytest.raises(StoreUnavailable):
        room.check()  # what was seen last counts for a second
    now[0] += 1.1
    room.check()  # dead letters do not keep others out


def test_the_sender_hears_503_and_when_to_come_back(make_app: Callable[..., Flask]) -> None:
    client = make_app(min_free_bytes=2**60).test_client()
    response = client.post("/events", json=patient(1), headers=TOKEN)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) == 60
    validate(response.get_json())
    assert "VBQ_MIN_FREE_BYTES" in response.get_json()["issue"][0]["diagnostics"]
    assert client.post("/events", json=patient(1)).status_code == 401, "who is not let in hears nothing of our disk"


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 3 MB at `place`, where this machine lets us have one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "vbq-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here; the next test fills a database by its own bound")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(app: Flask) -> tuple[int, int]:
    """Send until something is refused, then some more: how many were accepted, and how many rows there are."""
    client, accepted, refused = app.test_client(), 0, 0
    for number in range(2000):
        response = client.post("/events", json=patient(number, size=20_000), headers=TOKEN)
        assert response.status_code in (202, 503), response.text
        accepted += response.status_code == 202
        if response.status_code == 503:
            assert int(response.headers["Retry-After"]) > 0
            assert json.loads(response.data)["resourceType"] == "OperationOutcome"
            refused += 1
        if refused == 3:
            break
    assert refused == 3, "the disk never became full"
    with app.extensions["outside"].database.read() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM inbox").scalar_one()
    return accepted, rows


def test_on_a_full_disk_nothing_is_accepted_that_is_not_written(tmp_path: Path, make_app: Callable[..., Flask]) -> None:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data"):
        app = make_app(min_free_bytes=0)
        accepted, rows = fill(app)
        assert accepted == rows > 20
        app.extensions["outside"].database.close()
        again = Database(f"sqlite:///{tmp_path / 'data' / 'vbq.sqlite3'}")
        with again.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM inbox").scalar_one() == accepted
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        again.close()


def test_a_nearly_full_disk_is_noticed_before_it_is_full(tmp_path: Path, make_app: Callable[..., Flask]) -> None:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data"):
        client = make_app(min_free_bytes=10 * 2**20).test_client()
        response = client.post("/events", json=patient(1), headers=TOKEN)
        assert (response.status_code, response.get_json()["issue"][0]["code"]) == (503, "transient")


def test_a_database_at_its_bound_accepts_nothing_that_is_not_written(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = database_module._prepare

    def bounded(connection: Any, **options: Any) -> None:
        prepare(connection, **options)
        connection.execute("PRAGMA max_page_count = 400")

    monkeypatch.setattr(database_module, "_prepare", bounded)  # every connection, whoever makes it
    app = make_app(min_free_bytes=0)
    app.extensions["outside"].database._engine.dispose()
    accepted, rows = fill(app)
    assert accepted == rows > 5


def test_a_store_that_comes_back_is_used_again(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    database: Database = app.extensions["outside"].database
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE inbox RENAME TO gone")
    other = app.test_client()
    assert other.post("/events", json=patient(1), headers=TOKEN).status_code == 503
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO inbox")
    time.sleep(LOOK_SECONDS + 0.1)
    assert other.post("/events", json=patient(1), headers=TOKEN).status_code == 202
