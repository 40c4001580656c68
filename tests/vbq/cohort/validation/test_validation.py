"""Optimism, calibration, error and usefulness of models on made-up people."""

import datetime as dt
import hashlib

import numpy as np
import pytest

from vbq.cohort.artefact import Labels, to_artefact
from vbq.cohort.data.reading import read_table
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Request
from vbq.cohort.fitting import fit_cohort
from vbq.cohort.roc import auc, auc_difference, roc
from vbq.cohort.splines import basis, knots_of
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.influence import dfbeta
from vbq.cohort.survival.kaplan_meier import kaplan_meier, log_rank
from vbq.cohort.validation import optimism
from vbq.cohort.validation.accuracy import brier, ipa, null_brier, time_dependent_auc, time_dependent_roc
from vbq.cohort.validation.calibration import calibrate_survival
from vbq.cohort.validation.decision import decision_curve
from vbq.cohort.validation.measures import compare
from vbq.cohort.validation.optimism import cox_optimism
from vbq.cohort.validation.page import validation_page
from vbq.cohort.validation.people import people_of
from vbq.cohort.validation.report import Asked, validate


def survival_data(n: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    time = rng.exponential(10 * np.exp(-X @ [0.8, -0.4, 0.0]))
    censored = rng.uniform(2, 25, n)
    return X, np.minimum(time, censored), time <= censored


def model_of(data: bytes, kind: str = "current-status", covariates: tuple[str, ...] = ("vbq", "t_score")):
    fit = fit_cohort(read_table(data, "f.csv"), Request("follow_up", "event", covariates, kind))
    digest = hashlib.sha256(data).hexdigest()
    return to_artefact(fit, Labels("made-up", "1.0.0", "f.csv", digest, dt.date(2025, 1, 1), 5.0)), digest


def test_optimism_is_largest_where_noise_is_fitted() -> None:
    X, time, event = survival_data(150)
    noise = np.random.default_rng(2).normal(size=(150, 8))
    plain = cox_optimism(fit_cox(X[:, :2], time, event, ["a", "b"]), 8.0, 100, 1)
    noisy = cox_optimism(fit_cox(np.c_[X[:, :2], noise], time, event, list("abcdefghij")), 8.0, 100, 1)
    assert 0 < plain.apparent.concordance - plain.corrected.concordance < 0.02
    assert noisy.apparent.concordance - noisy.corrected.concordance > 0.02
    assert noisy.corrected.slope < plain.corrected.slope < 1.02
    assert noisy.corrected.ipa < noisy.apparent.ipa


def test_a_true_model_is_calibrated_and_beats_the_null() -> None:
    X, time, event = survival_data(4000)
    risk = -np.expm1(-8.0 / 10 * np.exp(X @ [0.8, -0.4, 0.0]))
    c = calibrate_survival(risk, time, event, 8.0)
    assert c.observed == pytest.approx(c.expected, abs=0.03)
    assert c.ici < 0.02
    assert c.e50 <= c.e90
    score, null = brier(risk, time, event, 8.0), null_brier(time, event, 8.0)
    assert 0.1 < ipa(score, null) < 0.5
    assert brier(np.clip(risk + 0.2, 0, 1), time, event, 8.0) > score


def test_without_censoring_the_weighted_scores_are_the_plain_ones(rng) -> None:
    time, marker = rng.exponential(5, 300), rng.normal(size=300)
    event = np.ones(300, dtype=bool)
    risk = rng.random(300)
    assert brier(risk, time, event, 4.0) == pytest.approx(float(((time <= 4.0) - risk).__pow__(2).mean()))
    assert time_dependent_auc(marker, time, event, 4.0) == pytest.approx(auc(marker, time <= 4.0).auc)


def test_kaplan_meier_without_censoring_is_one_minus_the_empirical_distribution() -> None:
    time = np.array([1.0, 2.0, 2.0, 5.0])
    km = kaplan_meier(time, np.ones(4))
    assert km.at(np.array([0.5, 1.0, 2.0, 4.9, 5.0])).tolist() == pytest.approx([1, 0.75, 0.25, 0.25, 0])


def test_log_rank_of_two_groups_is_the_score_test_of_cox_without_ties(rng) -> None:
    X, time, event = survival_data(120)
    group = (X[:, 0] > 0).astype(np.int64)
    chi, p = log_rank(time, event, group)
    fit = fit_cox(group[:, None].astype(float), time, event, ["g"])
    assert chi == pytest.approx(2 * (fit.log_likelihood - fit.log_likelihood_null), rel=0.1)
    assert p < 0.01


def test_delong_by_hand() -> None:
    found = auc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True]))
    assert found.auc == 0.75
    assert found.standard_error == pytest.approx(np.sqrt(0.125 / 2 + 0.125 / 2))
    difference, _, p = auc_difference(np.arange(4.0), np.arange(4.0), np.array([0, 1, 0, 1]) == 1)
    assert (difference, p) == (0.0, 1.0)
    with pytest.raises(NoFit, match="only one of the two"):
        auc(np.arange(3.0), np.ones(3, dtype=bool))


def test_youden_cut_off_lies_between_two_values_and_falls_for_falling_markers() -> None:
    marker, ill = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False])
    curve = roc(marker, ill, falling=True)
    assert (curve.cutoff, curve.sensitivity, curve.specificity, curve.area.auc) == (2.5, 1.0, 1.0, 1.0)


def test_dfbeta_tells_what_leaving_out_a_row_does() -> None:
    X, time, event = survival_data(200)
    fit = fit_cox(X, np.ceil(time), event, ["a", "b", "c"])
    changes = dfbeta(fit)
    row = int(np.argmax(np.abs(changes[:, 0])))
    without = fit_cox(np.delete(X, row, 0), np.delete(np.ceil(time), row), np.delete(event, row), ["a", "b", "c"])
    assert changes[row, 0] == pytest.approx(fit.coefficients[0] - without.coefficients[0], rel=0.2)


def test_splines_are_straight_beyond_the_outer_knots() -> None:
    x = np.linspace(-3, 3, 601)
    bent = basis(x, knots_of(x[100:500], 4))
    np.testing.assert_allclose(np.diff(bent[:60], 2, axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(bent[-60:], 2, axis=0), 0, atol=1e-9)


def test_acting_on_a_good_model_beats_acting_on_everybody_or_nobody() -> None:
    X, time, event = survival_data(3000)
    risk = -np.expm1(-8.0 / 10 * np.exp(X @ [0.8, -0.4, 0.0]))
    curve = decision_curve(risk, time, event, 8.0)
    middle = (curve.threshold > 0.3) & (curve.threshold < 0.65)
    assert (curve.model[middle] > np.maximum(curve.everybody[middle], 0)).all()


def test_internal_validation_corrects_and_external_does_not(visits) -> None:
    data, other = visits(), visits(250, 9)
    model, digest = model_of(data)
    inner = validate(model, read_table(data, "f.csv"), Asked(replicates=60), digest).document
    assert inner["kind"] == "internal"
    assert inner["concordance"]["corrected"] < inner["concordance"]["apparent"]
    outer = validate(model, read_table(other, "g.csv"), Asked(replicates=60), "other").document
    assert outer["kind"] == "external"
    assert outer["concordance"]["lower"] < outer["concordance"]["apparent"] < outer["concordance"]["upper"]
    assert {row["by"] for row in outer["subgroups"]} == {"age"}


def test_a_useless_covariate_less_costs_nothing(visits) -> None:
    data = visits(500, 4)
    full, _ = model_of(data, covariates=("vbq", "t_score"))
    poor, _ = model_of(data, covariates=("age",))
    table = read_table(data, "f.csv")
    gap = compare(people_of(poor, table), people_of(full, table), 100, 1)
    assert gap["delta_concordance"]["lower"] > 0
    assert gap["delta_ipa"]["difference"] > 0.1
    same = compare(people_of(full, table), people_of(full, table), 40, 1)
    assert same["delta_concordance"]["difference"] == 0


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_area_below_a_time_dependent_curve_is_its_auc(digits: int) -> None:
    X, time, event = survival_data(300)
    marker = np.round(X @ [0.8, -0.4, 0.0], digits)  # few digits: many ties
    x, y = time_dependent_roc(marker, time, event, 8.0)
    assert (x[0], y[0]) == (0.0, 0.0)
    assert (x[-1], y[-1]) == pytest.approx((1.0, 1.0))
    assert np.trapezoid(y, x) == pytest.approx(time_dependent_auc(marker, time, event, 8.0), rel=1e-12)
    with pytest.raises(NoFit, match="nobody without the event"):
        time_dependent_roc(marker, time, event, 1e6)


@pytest.mark.parametrize("kind", ["internal", "external"])
def test_a_validation_is_a_page_that_stands_alone(visits, kind: str) -> None:
    model, _ = model_of(visits(400))
    data = visits(400) if kind == "internal" else visits(300, 9)
    table = read_table(data, "f.csv")
    page = validation_page(validate(model, table, Asked(replicates=30), hashlib.sha256(data).hexdigest()), "<b>", "")
    assert f"{kind} validation" in page
    assert "<b>" not in page
    for title in ("Calibration", "Decision curve", "ROC"):
        assert f'aria-label="{title}"' in page
    assert "at the visit" in page
    assert "age: " in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page


def test_a_survival_model_s_page_has_a_curve_for_every_time() -> None:
    X, time, event = survival_data(300)
    rows = [f"{a:.3f},{b:.3f},{t:.3f},{e:d}" for (a, b, _), t, e in zip(X, time, event, strict=True)]
    data = "\n".join(["a,b,follow_up,event", *rows]).encode()
    model, _ = model_of(data, "cox", ("a", "b"))
    found = validate(model, read_table(data, "f.csv"), Asked(horizon=8.0, replicates=30))
    page = validation_page(found, "made up", "")
    areas = found.document["auc"]
    assert isinstance(areas, list)
    assert len(areas) == 4
    for row in areas:
        assert f"by {round(row['time'], 2):g}: {row['auc']:.3f}" in page
    assert "Area under the curve over time" in page


def test_resamples_of_a_large_cohort_are_drawn_a_few_at_a_time_and_stay_the_same(monkeypatch) -> None:
    whole = np.concatenate(list(optimism.draws(np.random.default_rng(3), 50, 12)))
    monkeypatch.setattr(optimism, "MOST_DRAWN", 250)
    pieces = list(optimism.draws(np.random.default_rng(3), 50, 12))
    assert [len(piece) for piece in pieces] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_whoever_waits_is_told_of_every_resample(visits) -> None:
    model, digest = model_of(visits())
    table = read_table(visits(), "f.csv")
    for of in (digest, "1" * 64):  # internal, external
        done: list[int] = []
        validate(model, table, Asked(replicates=20, tick=done.append), of)
        assert sum(done) == 20
