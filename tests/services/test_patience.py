"""A database that pauses: no call waits beyond its budget, none is answered wrongly, and all is well afterwards."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import StoreUnavailable
from services.patience import Patience


def test_22_a_paused_database_costs_the_budget_and_recovers_by_itself() -> None:
    """64 callers at once over 8 reading threads; the reads hang as those of a stopped PostgreSQL do."""
    patience = Patience(seconds=0.2, threads=8)
    paused, read = threading.Event(), threading.Event()
    read.set()

    def work() -> str:
        if paused.is_set():
            read.wait()
        return "right"

    def call(_: int) -> tuple[str, float]:
        began = time.monotonic()
        try:
            return patience(work), time.monotonic() - began
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
        Patience(seconds=1, threads=1)(work)
