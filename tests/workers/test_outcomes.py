"""What an error means for the work."""

from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from hypothesis import given
from hypothesis import strategies as st

from gateways.queue.jobs import Job
from gateways.settings import Settings
from schemas.errors import CircuitOpen, EhrUnavailable, Forbidden, PacsUnavailable
from tests import records
from workers.bench import Bench
from workers.limits import hard_seconds, renewed_seconds, soft_seconds
from workers.outcomes import LONGEST_DELAY_SECONDS, PATIENCE, backoff_seconds, run_job, verdict


def test_what_is_rejected_is_never_tried_again() -> None:
    found = verdict(Forbidden("outside", code="endpoint-outside-roots"), 1, 5)
    assert (found.code, found.delay_seconds) == ("endpoint-outside-roots", None)


@pytest.mark.parametrize(
    ("attempts", "delay"), [(1, 1.0), (2, 2.0), (5, 16.0), (19, LONGEST_DELAY_SECONDS), (20, None)]
)
def test_a_system_that_is_away_is_waited_for_but_not_for_ever(attempts: int, delay: float | None) -> None:
    assert verdict(PacsUnavailable("away"), attempts, 5).delay_seconds == delay


def test_a_system_that_says_when_is_believed_within_reason() -> None:
    assert verdict(EhrUnavailable("busy", retry_after_s=40), 1, 5).delay_seconds == 40.0
    assert verdict(EhrUnavailable("busy", retry_after_s=86400), 1, 5).delay_seconds == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(("asked", "delay"), [(None, 1.0), (0.2, 1.0), (40, 40.0), (86400, LONGEST_DELAY_SECONDS)])
@pytest.mark.parametrize("attempts", [1, 20, 1000])
def test_waiting_for_a_system_that_is_known_to_be_away_spends_nothing(
    attempts: int, asked: float | None, delay: float
) -> None:
    found = verdict(CircuitOpen("away", retry_after_s=asked), attempts, 5)
    assert (found.delay_seconds, found.spared) == (delay, True)


def test_a_defect_names_its_place_and_not_its_words() -> None:
    try:
        int("CANARY")
    except ValueError as error:
        found = verdict(error, 1, 5)
        last = verdict(error, 5, 5)
    assert found.code == "defect"
    assert "test_outcomes.py" in found.text
    assert "CANARY" not in found.text
    assert found.delay_seconds == 1.0
    assert last.delay_seconds is None


def test_what_takes_too_long_is_tried_again_and_says_so_when_it_is_dead() -> None:
    found, last = verdict(SoftTimeLimitExceeded(), 1, 5), verdict(SoftTimeLimitExceeded(), 5, 5)
    assert (found.code, found.delay_seconds) == ("took-too-long", 1.0)
    assert (last.code, last.delay_seconds) == ("took-too-long", None)


def test_the_time_for_a_piece_of_work_follows_from_its_kind() -> None:
    settings = Settings(task_seconds=100, lease_seconds=150)
    assert hard_seconds(settings, "assess") < hard_seconds(settings, "measure") == 100
    for kind in ("event", "measure", "assess", "publish", "fetch"):
        assert soft_seconds(settings, kind) < hard_seconds(settings, kind) < renewed_seconds(settings, kind) <= 150
    assert hard_seconds(Settings(task_seconds=5, lease_seconds=6), "assess") == 5


@given(st.integers(1, 10_000))
def test_delays_grow_and_are_bounded(attempts: int) -> None:
    assert 1.0 <= backoff_seconds(attempts) <= backoff_seconds(attempts + 1) <= LONGEST_DELAY_SECONDS


@given(st.integers(1, 1000), st.integers(1, 20))
def test_attempts_are_bounded_whatever_fails(attempts: int, most: int) -> None:
    for error in (PacsUnavailable("away"), RuntimeError("x")):
        if attempts >= PATIENCE * most:
            assert verdict(error, attempts, most).delay_seconds is None


def test_work_that_never_ends_is_dead_with_its_reason_and_no_other_work_is_held_up(hands: Any) -> None:
    def hangs(_bench: Bench, _job: Job) -> None:
        raise SoftTimeLimitExceeded

    hands.push(records.patient(), records.t_score())
    hands.read_events()
    ((row, kind),) = hands.due()
    assert kind == "assess"
    for attempt in range(hands.bench.settings.max_attempts):
        assert hands.job("assess").attempts == attempt
        hands.hurry()
        run_job(hands.bench, row, hangs)
    assert (hands.job("assess").state, hands.job("assess").reason_code) == ("dead", "took-too-long")
    hands.push(records.t_score(value=-2.0, meta={"versionId": "2"}))
    hands.work()
    assert hands.job("assess").state == "idle", "a new input brings it back"
