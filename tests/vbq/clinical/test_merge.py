"""The merge: latest valid value within its window, whatever the order of arrival; what does not count says why."""

import datetime as dt
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.clinical import Coding, ObservedQuantity, PatientFacts
from schemas.codes import LOINC
from schemas.config import MergePolicy
from vbq.clinical.merge import completed_years, merge

SPINE, HIP, WEIGHT, CREATININE, MEASURED, COCKCROFT, ALP = (
    "38267-1",
    "38264-8",
    "29463-7",
    "2160-0",
    "2164-2",
    "35591-7",
    "6768-6",
)
POLICY = MergePolicy()
STUDY = dt.date(2024, 1, 15)


def codes(merged, about):
    return sorted(row.code for row in merged.ignored if row.about == about)


def test_the_latest_valid_value_wins_and_the_earlier_is_superseded(observed, facts, as_of) -> None:
    rows = [observed(SPINE, -2.0, None, "2023-05-01"), observed(SPINE, -2.6, None, "2024-03-01")]
    merged = merge(facts(*rows), as_of, STUDY, POLICY)
    assert merged.get("t_score").value == -2.6
    assert merged.get("t_score").date == dt.date(2024, 3, 1)
    assert codes(merged, "t_score") == ["superseded"]


def test_a_later_invalid_value_does_not_push_out_an_earlier_valid_one(observed, facts, as_of) -> None:
    rows = [observed(SPINE, -2.0, None, "2023-05-01"), observed(SPINE, 40.0, None, "2024-03-01")]
    merged = merge(facts(*rows), as_of, STUDY, POLICY)
    assert merged.get("t_score").value == -2.0
    assert codes(merged, "t_score") == ["implausible"]


@pytest.mark.parametrize(("on", "counts"), [("2022-01-15", True), ("2022-01-14", False)])
def test_the_window_is_counted_from_the_study(observed, facts, as_of, on, counts) -> None:
    merged = merge(facts(observed(SPINE, -2.0, None, on)), as_of, STUDY, POLICY)
    assert (merged.get("t_score") is not None) is counts
    assert codes(merged, "t_score") == ([] if counts else ["too-old"])


def test_without_a_study_the_window_is_counted_from_now(observed, facts, as_of) -> None:
    row = observed(SPINE, -2.0, None, "2022-05-31")
    assert merge(facts(row), as_of, None, POLICY).get("t_score") is None
    assert merge(facts(row), as_of, STUDY, POLICY).get("t_score") is not None


def test_dates_at_the_ends_of_the_calendar_are_dates_like_any_other(observed, facts, as_of) -> None:
    rows = [observed(SPINE, -2.0, None, "0001-01-01"), observed(HIP, -2.0, None, "9999-12-31T23:59:59-14:00")]
    merged = merge(facts(*rows), as_of, dt.date.min, POLICY)
    assert merged.get("t_score").value == -2.0
    assert codes(merged, "t_score_hip") == ["future"]


def test_a_hip_t_score_is_shown_and_never_stands_in(observed, facts, as_of) -> None:
    merged = merge(facts(observed(HIP, -3.1, None)), as_of, STUDY, POLICY)
    assert merged.get("t_score_hip").value == -3.1
    assert merged.get("t_score") is None


def test_an_old_value_in_the_window_is_shown_as_stale(observed, facts, as_of) -> None:
    merged = merge(facts(observed(SPINE, -2.0, None, "2022-05-01")), as_of, dt.date(2022, 6, 1), POLICY)
    assert merged.get("t_score").stale is True


def test_a_measured_clearance_goes_before_a_stated_one_and_both_before_our_estimate(observed, facts, as_of) -> None:
    base = [observed(CREATININE, 0.9, "mg/dL"), observed(WEIGHT, 61.2, "kg")]
    ours = merge(facts(*base), as_of, STUDY, POLICY).get("crcl_ml_min")
    assert (ours.how, ours.source) == ("estimated", "derived")
    stated = merge(facts(*base, observed(COCKCROFT, 55.0, "mL/min")), as_of, STUDY, POLICY).get("crcl_ml_min")
    assert (stated.how, stated.value) == ("estimated", 55.0)
    assert "laboratory" in stated.note
    rows = [*base, observed(COCKCROFT, 55.0, "mL/min", "2024-05-01"), observed(MEASURED, 0.9, "mL/s", "2023-12-01")]
    merged = merge(facts(*rows), as_of, STUDY, POLICY)
    assert (merged.get("crcl_ml_min").how, merged.get("crcl_ml_min").value) == ("measured", 54.0)
    assert [row.text for row in merged.ignored if row.about == "crcl_ml_min"] == ["a measured clearance is there"]


def test_cockcroft_gault_says_that_it_is_one_and_from_what(observed, facts, as_of) -> None:
    rows = [observed(CREATININE, 79.56, "umol/L", "2023-12-01"), observed(WEIGHT, 61.2, "kg", "2023-11-01")]
    found = merge(facts(*rows, born="1952-12-02"), as_of, STUDY, POLICY).get("crcl_ml_min")
    # 70 completed years on 2023-12-01: (140 - 70) x 61.2 / (72 x 0.9) x 0.85
    assert found.value == pytest.approx(56.194, abs=1e-3)
    for words in ("Cockcroft-Gault", "2023-12-01", "2023-11-01", "70 years", "female", "not measured"):
        assert words in found.note
    male = merge(facts(*rows, born="1952-12-02", gender="male"), as_of, STUDY, POLICY).get("crcl_ml_min")
    assert male.value == pytest.approx(found.value / 0.85)


@pytest.mark.parametrize("leave_out", ["creatinine", "weight", "birth", "gender"])
def test_without_all_it_needs_there_is_no_estimate(observed, facts, as_of, leave_out) -> None:
    rows = {"creatinine": observed(CREATININE, 0.9, "mg/dL"), "weight": observed(WEIGHT, 61.2, "kg")}
    rows.pop(leave_out, None)
    more = {"birth": {"born": None}, "gender": {"gender": None}}.get(leave_out, {})
    assert merge(facts(*rows.values(), **more), as_of, STUDY, POLICY).get("crcl_ml_min") is None


def test_a_filtration_rate_is_never_taken_for_a_clearance(observed, facts, as_of) -> None:
    merged = merge(facts(observed("98979-8", 70.0, "mL/min/{1.73_m2}")), as_of, STUDY, POLICY)
    assert merged.get("crcl_ml_min") is None
    assert codes(merged, "crcl_ml_min") == ["egfr"]


def test_menopause_is_assumed_from_the_configured_age_and_says_so(facts, as_of) -> None:
    found = merge(facts(born="1968-06-01"), as_of, dt.date(2024, 6, 1), POLICY).get("menopause")
    assert (found.value, found.how, found.source) == ("post", "assumed", "derived")
    younger = merge(facts(born="1969-06-02"), as_of, dt.date(2024, 6, 1), POLICY)
    assert younger.get("menopause") is None
    lower = MergePolicy(assumed_postmenopausal_age=50)
    assert merge(facts(born="1969-06-02"), as_of, dt.date(2024, 6, 1), lower).get("menopause") is not None


def test_menopause_is_never_assumed_of_a_man_or_against_a_code(facts, condition, as_of) -> None:
    assert merge(facts(gender="male"), as_of, STUDY, POLICY).get("menopause") is None
    assert merge(facts(condition("309606002")), as_of, STUDY, POLICY).get("menopause").value == "pre"


def test_a_birth_date_that_is_only_a_year_gives_no_age(facts, as_of) -> None:
    merged = merge(facts(born="1952"), as_of, STUDY, POLICY)
    assert merged.get("age_years") is None
    assert codes(merged, "age_years") == ["partial-date"]


def test_an_impossible_birth_date_gives_no_age(facts, as_of) -> None:
    assert codes(merge(facts(born="2031-01-01"), as_of, STUDY, POLICY), "age_years") == ["implausible"]
    assert codes(merge(facts(born="1852-01-01"), as_of, STUDY, POLICY), "age_years") == ["implausible"]


def test_completed_years() -> None:
    assert completed_years(dt.date(1960, 2, 29), dt.date(2023, 2, 28)) == 62
    assert completed_years(dt.date(1960, 2, 29), dt.date(2023, 3, 1)) == 63


def test_an_unknown_gender_is_left_out(facts, as_of) -> None:
    assert merge(facts(gender="unknown"), as_of, STUDY, POLICY).get("sex") is None


def test_no_person_and_no_observations_give_no_inputs(as_of) -> None:
    merged = merge(PatientFacts(person=None), as_of, None, POLICY)
    assert merged.inputs == []
    assert merged.ignored == []


ANY_OBSERVATION = st.builds(
    ObservedQuantity,
    reference=st.sampled_from([f"Observation/o{i}" for i in range(6)]),
    status=st.sampled_from(["final", "corrected", "preliminary", "entered-in-error"]),
    codings=st.lists(
        st.builds(Coding, system=st.just(LOINC), code=st.sampled_from([SPINE, HIP, WEIGHT, CREATININE, MEASURED, ALP])),
        min_size=1,
        max_size=2,
    ),
    value=st.one_of(st.none(), st.floats(-20, 400)),
    unit=st.sampled_from([None, "{T-score}", "kg", "mg/dL", "umol/L", "mL/min", "U/L", "g/cm2"]),
    effective=st.one_of(
        st.none(),
        st.integers(0, 1800).map(lambda days: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=days)),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ANY_OBSERVATION, max_size=8), seed=st.integers(0, 99))
def test_the_order_of_observations_does_not_matter(facts, as_of, rows, seed) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert merge(facts(*rows), as_of, STUDY, POLICY) == merge(facts(*shuffled), as_of, STUDY, POLICY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ANY_OBSERVATION, max_size=8, unique_by=lambda row: row.reference))
def test_every_observation_of_ours_either_counts_or_says_why_not(facts, as_of, rows) -> None:
    merged = merge(facts(*rows), as_of, STUDY, POLICY)
    told = {row.source for row in merged.inputs} | {row.source for row in merged.ignored}
    assert told >= {row.reference for row in rows}
