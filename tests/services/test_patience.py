"""A database that pauses: no call waits beyond its budget, none is answered wrongly, and all is well afterwards."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from schemas.assessment import Assessment
from schemas.errors import StoreUnavailable
from services.patience import Patience
from tests.services.conformance.test_rows import VIEW, body_for


def test_22_a_paused_database_costs_the_budget_and_recovers_by_itself() -> None:
    """64 callers at once over 8 reading threads; the reads hang as those of a stopped PostgreSQL do."""
    patience = Patience(threads=8)
    paused, read = threading.Event(), threading.Event()
    read.set()

    def work() -> str:
        if paused.is_set():
            read.wait()
        return "right"

    def call(_: int) -> tuple[str, float]:
        began = time.monotonic()
        try:
            return patience(work, began + 0.2), time.monotonic() - began
        except StoreUnavailable as error:
            return f"again in {error.retry_after_s:g} s", time.monotonic() - began

    with ThreadPoolExecutor(64) as callers:
        assert {said for said, _ in callers.map(call, range(64))} == {"right"}
        read.clear()
        paused.set()
        during = [answer for _ in range(3) for answer in callers.map(call, range(64))]
        paused.clear()
        read.set()
        after = list(callers.map(call, range(64)))
    assert {said for said, _ in during} == {"again in 1 s"}
    assert max(seconds for _, seconds in during) < 1.0
    assert {said for said, _ in after} == {"right"}


def test_an_error_of_the_work_is_the_callers() -> None:
    def work() -> Callable[[], None]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Patience(threads=1)(work, time.monotonic() + 1)


def stopped(url: str) -> list[int]:
    """The processes of the database of `url`: its server and the backends of our connections."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()").fetchall()
        mine = connection.info.backend_pid  # it goes when the connection ends
        server = int(Path(f"/proc/{mine}/stat").read_text().rpartition(")")[2].split()[1])
    return [server, *(pid for (pid,) in rows if pid != mine)]


def test_22_a_stopped_postgresql_costs_64_callers_the_budget_and_recovers_by_itself(
    make_app: Callable[..., Flask], put_into: Callable[..., Assessment], postgres_url: str
) -> None:
    app = make_app({"cds": {"budget_ms": 400}}, database_url=postgres_url, dev_open=True)
    put_into(app)

    def call(_: int) -> tuple[int, float]:
        began = time.monotonic()
        response = app.test_client().post(f"/cds-services/{VIEW}", json=body_for(VIEW))
        if response.status_code == 200:
            assert len(response.get_json()["cards"]) == 1
        else:
            assert response.headers["Retry-After"]
        return response.status_code, time.monotonic() - began

    with ThreadPoolExecutor(64) as callers:
        assert [call(0)[0] for _ in range(4)][-1] == 200
        processes = stopped(postgres_url)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            during = [answer for _ in range(3) for answer in callers.map(call, range(64))]
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)
        until = time.monotonic() + 10
        while time.monotonic() < until and call(0)[0] != 200:
            time.sleep(0.05)
        after = [call(0)[0] for _ in range(8)]
    assert {status for status, _ in during} == {503}
    assert max(seconds for _, seconds in during) < 3.0, "the budget, and the queue of 64 threads in one interpreter"
    assert after.count(200) >= 7
