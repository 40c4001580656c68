"""Missing covariates: chained equations and Rubin's rules."""

import numpy as np
import pytest

from vbq.cohort.data.reading import read_table
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Request
from vbq.cohort.fitting import fit_cohort
from vbq.cohort.imputation import impute, nelson_aalen, pool_cox, rubin
from vbq.cohort.survival.cox import fit_cox


def holed(data: bytes, share: float, seed: int = 1) -> bytes:
    """VBQ missing more often where the T-score is low: missing at random, not by chance."""
    rng = np.random.default_rng(seed)
    header, *rows = data.decode().splitlines()
    cells = [row.split(",") for row in rows]
    for row in cells:
        if rng.random() < share * (2 if float(row[3]) < -2.5 else 0.5):
            row[2] = ""
    return "\n".join([header, *(",".join(row) for row in cells)]).encode()


def test_rubins_rules_by_hand() -> None:
    pooled = rubin([np.array([1.0]), np.array([3.0])], [np.array([[0.5]]), np.array([[1.5]])])
    assert pooled.mean.tolist() == [2.0]
    assert pooled.covariance[0, 0] == pytest.approx(1.0 + 1.5 * 2.0)


def test_identical_fits_pool_to_themselves() -> None:
    rng = np.random.default_rng(0)
    X, time, event = rng.normal(size=(80, 2)), rng.exponential(1, 80), rng.random(80) < 0.6
    fit = fit_cox(X, time, event, ["a", "b"])
    pooled, share = pool_cox([fit, fit])
    times = np.array([float(np.median(time))])
    np.testing.assert_allclose(pooled.survival(X, times).lower, fit.survival(X, times).lower, rtol=1e-12)
    assert share == pytest.approx(0.0, abs=1e-12)


def test_imputed_values_are_values_that_somebody_has_and_known_ones_stay() -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=200), rng.integers(0, 2, 200)])
    gaps = rng.random(X.shape) < 0.2
    holey = np.where(gaps, np.nan, X)
    time, event = rng.exponential(1, 200), rng.random(200) < 0.5
    for copy in impute(holey, time, event, ["a", "b"], copies=3, rng=rng):
        np.testing.assert_array_equal(copy[~gaps], X[~gaps])
        assert set(np.unique(copy[:, 1])) == {0.0, 1.0}
        assert np.isin(copy[gaps[:, 0], 0], X[~gaps[:, 0], 0]).all()


def test_imputation_keeps_everybody_and_comes_nearer_to_the_whole_data(visits) -> None:
    whole = visits(800, 6)
    request = Request("follow_up", "event", ("vbq", "t_score"), "current-status")
    table = read_table(holed(whole, 0.4), "f.csv")
    truth = fit_cohort(read_table(whole, "f.csv"), request).fit
    imputed = fit_cohort(
        table, Request(*[getattr(request, n) for n in ("time", "event", "covariates", "kind")], imputations=10)
    )
    complete = fit_cohort(table, request).fit
    assert imputed.fit.n == 800
    assert any("Rubin" in text for text in imputed.warnings)
    t = 1  # of the T-score, whose information complete cases throw away
    assert imputed.fit.standard_errors[t] < complete.standard_errors[t]
    assert abs(imputed.fit.coefficients[t] - truth.coefficients[t]) < 2 * truth.standard_errors[t]
    assert imputed.fit.standard_errors[0] > truth.standard_errors[0]


def test_nelson_aalen_by_hand() -> None:
    assert nelson_aalen(np.array([1.0, 2.0, 3.0]), np.array([True, False, True])).tolist() == pytest.approx(
        [1 / 3, 1 / 3, 1 / 3 + 1]
    )


def test_a_covariate_that_nobody_has_cannot_be_imputed() -> None:
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=50), np.full(50, np.nan)])
    with pytest.raises(NoFit, match="'b' is known for 0 people"):
        impute(X, rng.exponential(1, 50), rng.random(50) < 0.5, ["a", "b"], copies=2, rng=rng)
