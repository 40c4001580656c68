"""From a cohort to a model file, and what a fit says of itself."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vbq.cohort.artefact import Labels, to_artefact
from vbq.cohort.data.reading import read_table
from vbq.cohort.data.table import from_frame
from vbq.cohort.errors import NoFit, UnusableCohort
from vbq.cohort.fit import Fitted, Request
from vbq.cohort.fitting import fit_cohort
from vbq.cohort.prediction import curves_of, predictions_csv
from vbq.cohort.sample_size import adequacy, corrected_r2, largest_r2
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.current_status import CurrentStatusFit, fit_current_status
from vbq.risk.artefact import canonical, parse
from vbq.risk.score import Stated, predict

LABELS = Labels("made-up", "1.0.0", "made-up.csv", "0" * 64, dt.date(2025, 1, 1), 5.0)
PAIR = ("vbq", "t_score")


def fitted(data: bytes, kind: str = "cox", covariates: tuple[str, ...] = PAIR, **options: object) -> Fitted:
    return fit_cohort(read_table(data, "f.csv"), Request("follow_up", "event", covariates, kind, **options))


def test_a_cox_fit_to_visit_times_is_recognised_and_never_served(visits) -> None:
    fit = fitted(visits())
    model = to_artefact(fit, LABELS)
    assert fit.looks_like_visits
    assert not model.servable
    assert "current-status" in (model.servable_reason or "")
    with pytest.raises(NoFit, match="no risk can be read"):
        predictions_csv(model, read_table(visits(), "f.csv"), [6.0])


def test_an_analyst_may_vouch_for_the_times(visits) -> None:
    assert to_artefact(fitted(visits(), exact_times=True), replace(LABELS, horizon_years=6.0)).servable


@pytest.mark.parametrize("name", ["gbsg", "lung", "pbc", "rossi"])
def test_public_datasets_with_true_event_times_are_not_taken_for_visits(reference, name) -> None:
    from vbq.cohort.visit_times import look_for_visit_times

    data = reference.dataset(name)
    assert not look_for_visit_times(data.time, data.event).recognised


def test_exponential_data_with_equal_follow_up_are_not_taken_for_visits(rng) -> None:
    from vbq.cohort.visit_times import look_for_visit_times

    time = rng.exponential(5, 400)
    assert not look_for_visit_times(time, rng.random(400) < 0.4).recognised


def test_the_current_status_model_recovers_the_hazard_ratios_that_made_the_data(visits) -> None:
    fit = fitted(visits(6000, 8), "current-status")
    np.testing.assert_allclose(fit.fit.coefficients, [0.73, -0.51], atol=0.12)
    cox = fitted(visits(6000, 8))
    assert (np.abs(cox.fit.coefficients) < 0.9 * np.abs(fit.fit.coefficients)).all()


def test_the_served_risk_is_the_analysts_risk_with_the_same_interval(visits) -> None:
    fit = fitted(visits(), "current-status")
    assert isinstance(fit.fit, CurrentStatusFit)
    model = parse(canonical(to_artefact(fit, LABELS)))
    direct = fit.fit.survival(np.array([[4.9, -3.1]]), np.array([5.0]))
    served = predict(model, {"vbq": Stated(4.9, "1"), "t_score": Stated(-3.1, "{T-score}")})
    assert served.risk == pytest.approx(1 - direct.survival[0, 0], rel=1e-9)
    assert served.lower == pytest.approx(1 - direct.upper[0, 0], rel=1e-9)
    assert served.upper == pytest.approx(1 - direct.lower[0, 0], rel=1e-9)


def test_a_model_file_predicts_what_the_fit_predicts(reference) -> None:
    data = reference.dataset("pbc")
    rows = np.column_stack([data.time, data.event, data.X])
    text = "\n".join([",".join(["time", "status", *data.names]), *(",".join(map(repr, r)) for r in rows.tolist())])
    fit = fit_cohort(read_table(text.encode(), "pbc.csv"), Request("time", "status", tuple(data.names)))
    assert isinstance(fit.fit, CoxFit)
    model = parse(canonical(to_artefact(fit, LABELS)))
    theirs = reference.table("pbc_efron_surv.csv")
    curves = curves_of(model, data.X[:20], theirs[:, 0])
    np.testing.assert_allclose(curves.survival.T, theirs[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(curves.lower.T, reference.table("pbc_efron_lower.csv")[:, 1:], rtol=1e-8)
    assert "hardly years; say --time-unit" in (model.servable_reason or "")


def test_rows_with_gaps_are_left_out_and_said(visits) -> None:
    lines = visits().decode().splitlines()
    lines[4] = lines[4].replace(lines[4].split(",")[2], "", 1)
    fit = fitted("\n".join(lines).encode(), "current-status")
    assert fit.fit.n == 299
    assert any("1 of 300 rows are left out" in text for text in fit.warnings)
    model = to_artefact(fit, LABELS)
    table = read_table("\n".join(lines).encode(), "f.csv")
    with pytest.raises(UnusableCohort, match="line 5: missing"):
        predictions_csv(model, table, [5.0])
    text, rows, blank = predictions_csv(model, table, [5.0], blank_incomplete=True)
    assert (rows, blank) == (300, 1)
    assert text.splitlines()[4] == "3,5.0,,,"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("follow_up", "event", ("vbq", "vbq")), "named twice"),
        (Request("follow_up", "nothing", ("vbq",)), "no column 'nothing'"),
        (Request("follow_up", "t_score", ("vbq",)), "not 0 or 1"),
        (Request("t_score", "event", ("vbq",)), "negative follow-up"),
    ],
)
def test_a_request_that_does_not_fit_the_file_is_refused(visits, request_, words) -> None:
    with pytest.raises(UnusableCohort, match=words):
        fit_cohort(read_table(visits(), "f.csv"), request_)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda X, t, e: (X, t * 0, e), "at time zero"),
        (lambda X, t, e: (X, t, e * 0), "same outcome"),
        (lambda X, t, e: (np.c_[X, e], t, e), "grows without bound"),
    ],
)
def test_current_status_data_that_cannot_be_fitted_are_refused_in_words(rng, spoil, words) -> None:
    X, t, e = rng.normal(size=(80, 1)), 5 + rng.random(80), (rng.random(80) < 0.4) * 1.0
    X, t, e = spoil(X, t, e)
    with pytest.raises(NoFit, match=words):
        fit_current_status(X, t, e, [f"x{j}" for j in range(X.shape[1])])


def test_riley_wants_269_to_430_people_for_six_parameters() -> None:
    size = adequacy(
        n=137, events=54, parameters=6, r2_cox_snell=0.18, r2_maximum=largest_r2(137, 54), risk_at_horizon=54 / 137
    )
    assert size.for_shrinkage == (269, 430)
    assert not size.adequate
    assert "too few" in size.sentence
    assert corrected_r2(1.0, 137, 2) == 0.0


def test_visit_times_of_a_large_cohort_are_recognised_though_every_difference_is_significant(visits) -> None:
    fit = fitted(visits(20_000, 5))
    assert fit.visits.p_equal < 0.05
    assert fit.looks_like_visits


def test_late_events_that_come_before_the_censored_times_are_true_event_times(rng) -> None:
    from vbq.cohort.visit_times import look_for_visit_times

    ages = 60 + rng.exponential(8, 300)  # age as the time scale: no event early, yet the times are those of the events
    censored = np.full(300, 72.0)
    assert not look_for_visit_times(np.minimum(ages, censored), ages <= censored).recognised


@pytest.mark.parametrize("moments", ["one event", "one moment"])
def test_where_no_two_events_differ_in_time_proportional_hazards_are_not_testable_and_the_fit_stands(
    moments: str,
) -> None:
    rng = np.random.default_rng(3)
    n = 80
    event = np.zeros(n, dtype=int)
    event[[5] if moments == "one event" else slice(0, 20)] = 1
    time = np.where(event == 1, 2.0, 6.0)
    columns = {"time": time, "event": event, "a": rng.normal(size=n), "b": rng.normal(size=n)}
    table = from_frame(pd.DataFrame(columns))
    fitted = fit_cohort(table, Request("time", "event", ("a", "b"), exact_times=True))
    assert fitted.ph_test == {"a": None, "b": None, "GLOBAL": None}
    assert not any("proportional" in text for text in fitted.warnings)
    assert np.isfinite(fitted.fit.coefficients).all()


def test_a_fit_that_predicts_nothing_is_told_so_and_no_huge_number_is_printed() -> None:
    rng = np.random.default_rng(6)
    n = 120
    columns = {"time": rng.uniform(1, 6, n), "event": np.ones(n, dtype=int), "a": rng.normal(size=n)}
    fitted = fit_cohort(from_frame(pd.DataFrame(columns)), Request("time", "event", ("a",)))
    assert fitted.adequacy.r2_anticipated == 0.0
    assert "no number of people would be enough" in fitted.adequacy.sentence
    assert "1000000000" not in " ".join(fitted.warnings)
