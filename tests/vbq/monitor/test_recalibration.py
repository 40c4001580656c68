"""Local recalibration: it finds what was put in, and says how sure it is."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ModelRefused
from vbq.monitor.recalibration import Outcomes, Told, cumulative_hazard, fit, recalibrated
from vbq.risk.artefact import canonical, parse
from vbq.risk.published import build
from vbq.risk.score import Stated, predict

MODEL = build()
TOLD = Told("1.1.0", "outcomes.csv", "0" * 64, dt.date(2026, 6, 1))


def people(n: int, a: float, b: float, seed: int, times: str = "visit") -> Outcomes:
    """Synthetic people for whom log H = a + b lp + log H0."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(4.26, 0.73, n), rng.normal(-2.48, 1.6, n)])
    lp = sum(row.coefficient * (x[:, j] - row.centre) for j, row in enumerate(MODEL.covariates))
    visit = rng.uniform(4.0, 7.0, n)
    rate = np.exp(a + b * lp) * cumulative_hazard(MODEL, np.ones(n))
    when = rng.exponential(1 / rate)
    years = np.minimum(when, visit) if times == "exact" else visit
    return Outcomes(lp, years, when <= visit)


@pytest.mark.parametrize("times", ["visit", "exact"])
def test_intercept_and_slope_that_were_put_in_come_out(times) -> None:
    found = fit(MODEL, people(20_000, 0.4, 0.7, 3, times), times, slope=True)
    errors = np.sqrt(np.diag(found.covariance))
    assert abs(found.intercept - 0.4) < 3 * errors[0] < 0.1
    assert abs(found.slope - 0.7) < 3 * errors[1] < 0.1


@pytest.mark.parametrize("times", ["visit", "exact"])
def test_a_model_that_fits_is_left_as_it_is(times) -> None:
    found = fit(MODEL, people(20_000, 0.0, 1.0, 4, times), times, slope=True).as_dict()
    low, high = found["intercept_interval"]
    assert low < 0 < high
    low, high = found["slope_interval"]
    assert low < 1 < high
    assert found["observed_to_expected"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("times", "near"), [("visit", 1e-2), ("exact", 1e-6)])
def test_after_recalibration_as_many_events_are_expected_as_were_seen(times, near) -> None:
    mine = people(4000, -0.5, 1.3, 5, times)
    found = fit(MODEL, mine, times, slope=True)
    again = recalibrated(MODEL, found, TOLD)
    b = found.slope
    moved = Outcomes(mine.predictor * b, mine.years, mine.event)
    second = fit(again, moved, times, slope=True)
    assert second.expected == pytest.approx(second.events, rel=near)  # Poisson is canonical, cloglog is not
    assert second.intercept == pytest.approx(0.0, abs=1e-6)
    assert second.slope == pytest.approx(1.0, abs=1e-6)
    assert parse(canonical(again)) == again, "it is a model file like any other"


@settings(max_examples=25, deadline=None)
@given(st.floats(2.8, 5.7), st.floats(-5.5, 0.5), st.booleans())
def test_the_interval_is_that_of_the_quadratic_form_it_came_from(vbq: float, t: float, slope: bool) -> None:
    found = fit(MODEL, people(1500, 0.3, 0.8, 6), "visit", slope=slope)
    again = recalibrated(MODEL, found, TOLD)
    said = predict(again, {"vbq": Stated(vbq, "1"), "t_score": Stated(t, "{T-score}")})
    beta = np.array([row.coefficient for row in MODEL.covariates])
    z = np.array([vbq - 4.26, t + 2.48])
    lp, b = float(beta @ z), found.slope
    variance = float(np.array([1.0, lp]) @ found.covariance @ np.array([1.0, lp]))
    variance += b * b * float(z @ np.array(MODEL.covariance) @ z)
    log_h = math.log(-math.log(0.701)) + found.intercept + b * lp
    assert said.risk == pytest.approx(-math.expm1(-math.exp(log_h)), rel=1e-6)
    for limit, sign in ((said.lower, -1), (said.upper, 1)):
        wide = 1.959963984540054 * math.sqrt(variance)
        assert limit == pytest.approx(-math.expm1(-math.exp(log_h + sign * wide)), rel=1e-5)


def test_too_few_outcomes_are_refused_in_words() -> None:
    few = people(30, -3.0, 1.0, 7)
    with pytest.raises(ModelRefused, match="wait for more outcomes"):
        fit(MODEL, few, "visit", slope=True)
    none = Outcomes(few.predictor, few.years * 0.0, np.arange(30) % 2 == 0)
    with pytest.raises(ModelRefused, match="zero or less"):
        fit(MODEL, none, "visit", slope=False)


def test_the_new_file_says_what_was_done_to_it() -> None:
    again = recalibrated(MODEL, fit(MODEL, people(1500, 0.3, 0.8, 6), "visit", slope=False), TOLD)
    assert again.id == MODEL.id
    assert again.version == "1.1.0"
    assert "Recalibrated (intercept) to 1500 local people" in again.caution
    assert again.validation["recalibration.of"] == "0" * 64
    assert again.covariates[0].coefficient == MODEL.covariates[0].coefficient
