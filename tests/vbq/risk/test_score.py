"""Scoring: the published check values, the laws, and every refusal."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ModelRefused
from schemas.model import Baseline, BaselinePoint, Span
from vbq.risk.published import build
from vbq.risk.score import Scorer, Stated, input_problems, predict, score

MODEL = build()
VBQ, T = st.floats(0.5, 12.0), st.floats(-8.0, 6.0)


def given_values(vbq, t_score):
    return {"vbq": Stated(vbq, "1"), "t_score": Stated(t_score, "{T-score}")}


@pytest.mark.parametrize(
    ("vbq", "t_score", "risk", "lower", "upper", "word"),
    [
        (3.5, -1.0, 13.7, 9.0, 20.5, "low"),
        (4.26, -2.48, 29.9, 22.9, 38.5, "moderate"),
        (4.62, -3.4, 43.6, 33.0, 55.9, "high"),
        (5.5, -4.0, 69.0, 49.1, 86.9, "high"),
        (5.5, -1.0, 40.2, 22.0, 65.6, "high"),
    ],
)
def test_the_five_check_values_come_out_as_printed(vbq, t_score, risk, lower, upper, word) -> None:
    found = score(MODEL, given_values(vbq, t_score), 5.0)
    assert [round(100 * value, 1) for value in (found.risk, found.lower, found.upper)] == [risk, lower, upper]
    assert (found.risk_class, found.horizon_years, found.flags) == (word, 5.0, [])


@given(a=VBQ, b=VBQ, t=T)
def test_a_higher_vbq_never_lowers_the_risk(a, b, t) -> None:
    low, high = sorted((a, b))
    assert predict(MODEL, given_values(low, t)).risk <= predict(MODEL, given_values(high, t)).risk


@given(v=VBQ, a=T, b=T)
def test_a_higher_t_score_never_raises_the_risk(v, a, b) -> None:
    low, high = sorted((a, b))
    assert predict(MODEL, given_values(v, low)).risk >= predict(MODEL, given_values(v, high)).risk


@given(v=VBQ, t=T)
def test_the_interval_holds_the_risk_and_lies_between_nothing_and_certainty(v, t) -> None:
    found = predict(MODEL, given_values(v, t))
    assert 0.0 <= found.lower <= found.risk <= found.upper <= 1.0


@given(v=VBQ, t=T)
def test_a_value_outside_the_training_range_is_computed_and_flagged(v, t) -> None:
    found = predict(MODEL, given_values(v, t))
    outside = sum(
        not row.training.low <= value <= row.training.high for row, value in zip(MODEL.covariates, (v, t), strict=True)
    )
    assert [row.code for row in found.flags] == ["outside-training-range"] * outside


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"vbq": Stated(4.0, "1")}, "input-missing"),
        ({}, "input-missing"),
        (given_values(math.nan, -1.0), "input-out-of-range"),
        (given_values(math.inf, -1.0), "input-out-of-range"),
        (given_values(4.0, -9.0), "input-out-of-range"),
        (given_values("4.0", -1.0), "input-not-a-number"),
        (given_values(True, -1.0), "input-not-a-number"),
        ({"vbq": Stated(4.0, "1"), "t_score": Stated(-1.0, "g/cm2")}, "input-unit"),
        ({"vbq": Stated(4.0, ""), "t_score": Stated(-1.0, "{T-score}")}, "input-unit"),
    ],
)
def test_an_input_that_the_model_cannot_take_is_refused_by_name(inputs, code) -> None:
    with pytest.raises(ModelRefused) as refused:
        predict(MODEL, inputs)
    assert refused.value.reason_code == code
    assert code in {row.code for row in input_problems(MODEL, inputs)}


def test_an_integer_is_a_number() -> None:
    assert predict(MODEL, given_values(4, -2)).risk == predict(MODEL, given_values(4.0, -2.0)).risk


@pytest.mark.parametrize("horizon", [4.9, 0.0, -5.0, 10.0, math.nan, math.inf])
def test_a_horizon_outside_the_support_is_refused(horizon) -> None:
    with pytest.raises(ModelRefused, match="5 years"):
        predict(MODEL, given_values(4.0, -2.0), horizon)


def test_a_model_that_must_not_be_served_or_has_expired_is_refused(variant) -> None:
    held_back = variant(servable=False, servable_reason="event times are visit times")
    with pytest.raises(ModelRefused, match="visit times"):
        predict(held_back, given_values(4.0, -2.0))
    old = variant(expires=dt.date(2025, 1, 1))
    assert predict(old, given_values(4.0, -2.0), on=dt.date(2025, 1, 1)).risk > 0
    with pytest.raises(ModelRefused, match="expired"):
        predict(old, given_values(4.0, -2.0), on=dt.date(2025, 1, 2))


def test_a_model_without_thresholds_predicts_and_has_no_word_for_it(variant) -> None:
    wordless = variant(thresholds=None)
    assert predict(wordless, given_values(4.0, -2.0)).risk > 0
    with pytest.raises(ModelRefused, match="thresholds"):
        score(wordless, given_values(4.0, -2.0))


def test_a_step_baseline_holds_its_value_until_the_next_event(variant) -> None:
    points = [
        BaselinePoint(time=time, cumulative_hazard=hazard, variance=0.01, mean=[0.0, 0.0])
        for time, hazard in ((2.0, 0.1), (4.0, 0.2))
    ]
    model = variant(baseline=Baseline(form="steps", points=points, support=Span(low=0.0, high=6.0)))
    centre = given_values(4.26, -2.48)
    assert predict(model, centre, 3.9).risk == predict(model, centre, 2.0).risk == pytest.approx(-math.expm1(-0.1))
    assert predict(model, centre, 6.0).risk == pytest.approx(-math.expm1(-0.2))
    with pytest.raises(ModelRefused, match="no event"):
        predict(model, centre, 1.9)


def test_a_linear_baseline_grows_with_time_and_keeps_its_relative_error(variant) -> None:
    point = BaselinePoint(time=1.0, cumulative_hazard=0.07, variance=0.0001, mean=[0.01, -0.02])
    model = variant(baseline=Baseline(form="linear", points=[point], support=Span(low=0.5, high=8.0)))
    centre = given_values(4.26, -2.48)
    assert predict(model, centre, 5.0).risk == pytest.approx(-math.expm1(-0.35))
    one, five = (predict(model, centre, time) for time in (1.0, 5.0))
    ratio = math.log(math.log1p(-one.upper) / math.log1p(-one.risk))
    assert math.log(math.log1p(-five.upper) / math.log1p(-five.risk)) == pytest.approx(ratio)


def test_the_log_interval_is_that_of_r_s_survfit(variant) -> None:
    """Lower S = S exp(-1.96 se(H)), upper S = min(1, S exp(1.96 se(H)))."""
    model = variant(interval="log")
    found = predict(model, given_values(4.26, -2.48))
    hazard = MODEL.baseline.points[0].cumulative_hazard
    se = math.sqrt(MODEL.baseline.points[0].variance)
    assert found.upper == pytest.approx(1 - math.exp(-hazard - 1.959964 * se), rel=1e-6)
    assert found.lower == pytest.approx(1 - math.exp(-hazard + 1.959964 * se), rel=1e-6)


def test_the_mean_term_of_a_cox_baseline_enters_the_interval(variant) -> None:
    """var[log H] = v/H0^2 + d'Vd with d = z - m/H0, reckoned by hand."""
    point = BaselinePoint(time=5.0, cumulative_hazard=0.3, variance=0.002, mean=[0.03, -0.06])
    model = variant(baseline=Baseline(form="points", points=[point], support=Span(low=5.0, high=5.0)))
    d = (0.74 - 0.1, 0.48 + 0.2)
    v = MODEL.covariance
    var = 0.002 / 0.09 + v[0][0] * d[0] ** 2 + v[1][1] * d[1] ** 2 + 2 * v[0][1] * d[0] * d[1]
    hazard = 0.3 * math.exp(MODEL.covariates[0].coefficient * 0.74 + MODEL.covariates[1].coefficient * 0.48)
    found = predict(model, given_values(5.0, -2.0))
    assert found.risk == pytest.approx(1 - math.exp(-hazard))
    assert found.upper == pytest.approx(1 - math.exp(-hazard * math.exp(1.959964 * math.sqrt(var))), rel=1e-6)


def test_a_binary_covariate_takes_yes_and_no_alone(variant) -> None:
    history = MODEL.covariates[0].but(name="history_vf", label="history", unit="", kind="binary", centre=0.0)
    history = history.but(physiological=Span(low=0, high=1), training=None)
    model = variant(covariates=[history, MODEL.covariates[1]])
    with_it, without = (
        predict(model, {"history_vf": Stated(value, ""), "t_score": Stated(-2.0, "{T-score}")}) for value in (True, 0)
    )
    assert with_it.risk > without.risk
    with pytest.raises(ModelRefused):
        predict(model, {"history_vf": Stated(0.5, ""), "t_score": Stated(-2.0, "{T-score}")})


def test_a_covariance_that_is_none_and_numbers_that_overflow_are_refused(variant) -> None:
    with pytest.raises(ModelRefused, match="negative variance"):
        predict(variant(covariance=[[-1.0, 0.0], [0.0, -1.0]]), given_values(9.0, 3.0))
    huge = [row.but(coefficient=1e4) for row in MODEL.covariates]
    with pytest.raises(ModelRefused, match="overflow"):
        predict(variant(covariates=huge), given_values(12.0, 6.0))


def test_a_scorer_answers_as_predict_does() -> None:
    scorer = Scorer(MODEL)
    for vbq, t_score in ((3.5, -1.0), (11.0, 5.0), (4, -2)):
        assert scorer(given_values(vbq, t_score)) == predict(MODEL, given_values(vbq, t_score))
