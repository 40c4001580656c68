"""The Cox engine's own laws, and what it says of data that cannot be fitted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbq.cohort.errors import NoFit
from vbq.cohort.survival import compiled
from vbq.cohort.survival.concordance import _pairwise, _tree, concordance
from vbq.cohort.survival.cox import compiled_problem, fit_cox
from vbq.cohort.survival.current_status import fit_current_status


def cohort(seed: int, n: int = 60, p: int = 2, *, ties: bool = True):
    """X, time, event of made-up people whose hazard depends on X; tied times where asked for."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    time = rng.exponential(10 * np.exp(-X @ np.linspace(0.3, -0.3, p)))
    event = (rng.random(n) < 0.7).astype(float)
    event[:2] = 1.0
    return X, np.ceil(time) if ties else time, event


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), ties=st.sampled_from(["efron", "breslow"]))
def test_both_engines_give_the_same_numbers(seed, ties) -> None:
    X, time, event = cohort(seed)
    a = fit_cox(X, time, event, ["a", "b"], ties=ties, engine="numpy")
    b = fit_cox(X, time, event, ["a", "b"], ties=ties, engine="compiled")
    np.testing.assert_allclose(a.coefficients, b.coefficients, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-8)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_units_change_a_coefficient_and_nothing_else(seed, factor, shift) -> None:
    X, time, event = cohort(seed)
    plain = fit_cox(X, time, event, ["a", "b"])
    moved = fit_cox(X * [factor, 1] + [shift, 0], time, event, ["a", "b"])
    np.testing.assert_allclose(moved.coefficients * [factor, 1], plain.coefficients, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(moved.p_values, plain.p_values, rtol=1e-4)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("apart", [1e-2, 1e-3, 1e-4])
def test_columns_that_are_nearly_collinear_are_fitted_and_not_taken_for_separation(apart, engine) -> None:
    X, time, event = cohort(6, 400, 3)
    close = np.column_stack([X[:, 0], X[:, 1], X[:, 0] + X[:, 1] + apart * X[:, 2]])
    # the same model in other words: b.close = b.X turned by the matrix that made the columns
    turned = (
        np.linalg.inv(np.array([[1, 0, 1], [0, 1, 1], [0, 0, apart]])) @ fit_cox(X, time, event, "abc").coefficients
    )
    fit = fit_cox(close, time, event, "abc", engine=engine)
    np.testing.assert_allclose(fit.coefficients, turned, rtol=1e-7)
    status, plain = (fit_current_status(columns, time, event, "abc") for columns in (close, X))
    np.testing.assert_allclose(status.predictor(close), plain.predictor(X), rtol=1e-5, atol=1e-6)


def test_a_rare_level_without_events_is_named_in_a_large_cohort() -> None:
    X, time, event = cohort(8, 20_000, 1)
    rare = np.arange(20_000) < 12
    with pytest.raises(NoFit, match="coefficient of 'rare' grows"):
        fit_cox(np.column_stack([X[:, 0], rare]), time, event * ~rare, ["a", "rare"])


def test_survival_far_beyond_the_data_is_zero_without_overflow() -> None:
    X, time, event = cohort(9)
    fit = fit_cox(X, time, event, ["a", "b"])
    sign = float(np.sign(fit.coefficients[0]))
    curves = fit.survival(np.array([[sign * 1e6, 0.0], [sign * 1e3, 0.0]]), np.array([np.median(time)]))
    assert (curves.survival == 0).all()
    assert (curves.lower == 0).all()
    assert np.isfinite(curves.upper).all()


def test_repeated_rows_count_as_copies_in_the_compiled_refits(rng) -> None:
    X, time, event = cohort(5, 80)
    copies = np.bincount(rng.integers(0, 80, 80), minlength=80).astype(np.int64)
    fit = fit_cox(X, time, event, ["a", "b"])
    rows, rule = compiled_problem(fit.sets, fit.sorted_covariates, 0.0)
    status, beta = compiled.refits(rows, copies[fit.sets.order][None, :], rule)
    again = np.repeat(np.arange(80), copies)
    direct = fit_cox(X[again], time[again], event[again], ["a", "b"], engine="numpy")
    assert status[0] == compiled.OK
    np.testing.assert_allclose(beta[0] / fit.design.scale, direct.coefficients, rtol=1e-7)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_the_tree_counts_the_pairs_that_the_double_loop_counts(seed) -> None:
    X, time, event = cohort(seed)
    predictor = np.round(X[:, 0], 1)
    status = event.astype(bool)
    np.testing.assert_array_equal(_pairwise(predictor, time, status), _tree(predictor, time, status))


def test_times_apart_by_rounding_alone_are_one_time() -> None:
    X, time, event = cohort(3)
    jitter = time * (1 + 1e-12 * np.random.default_rng(0).normal(size=len(time)))
    np.testing.assert_allclose(
        fit_cox(X, jitter, event, ["a", "b"]).coefficients, fit_cox(X, time, event, ["a", "b"]).coefficients
    )


def test_a_ridge_shrinks_towards_zero() -> None:
    X, time, event = cohort(1)
    free, tied = (fit_cox(X, time, event, ["a", "b"], ridge=r, engine=e) for r, e in ((0, "numpy"), (50.0, "numpy")))
    compiled_tied = fit_cox(X, time, event, ["a", "b"], ridge=50.0, engine="compiled")
    assert (np.abs(tied.coefficients) < np.abs(free.coefficients)).all()
    np.testing.assert_allclose(tied.coefficients, compiled_tied.coefficients, rtol=1e-8)


def test_survival_is_one_before_the_first_event_and_refused_after_the_last_follow_up() -> None:
    X, time, event = cohort(2)
    fit = fit_cox(X, time, event, ["a", "b"])
    first = time[event == 1].min()
    curves = fit.survival(X[:3], np.array([first - 0.5]))
    assert (curves.survival == 1).all()
    assert (curves.lower == 1).all()
    with pytest.raises(NoFit, match="outside the follow-up"):
        fit.survival(X[:3], np.array([time.max() + 1]))


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda X, t, e: (X, t, e * 0), "no row has an event"),
        (lambda X, t, e: (X, -t, e), "negative"),
        (lambda X, t, e: (X, t, e * 2), "coded 0"),
        (lambda X, t, e: (np.c_[X[:, 0], np.ones(len(t))], t, e), "'b' has one and the same value"),
        (lambda X, t, e: (np.c_[X[:, 0], 3 * X[:, 0] - 1], t, e), "collinear"),
        (lambda X, t, e: (np.c_[X[:, 0], e], t, e), "coefficient of 'b' grows without bound"),
        (lambda X, t, e: (np.c_[X[:, 0], -t], t, e), "grows without bound"),
        (lambda X, t, e: (np.where(X > 2, np.nan, X), t, e), "missing or infinite"),
        (lambda X, t, _: (X, np.where(X[:, 0] == X[:, 0].max(), 0, t), (X[:, 0] == X[:, 0].max()) * 1.0), "grows"),
        (lambda X, t, _: (X, t, (np.arange(len(t)) == np.argmax(t)) * 1.0), "cannot be told apart"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused_in_words(spoil, words, engine) -> None:
    X, time, event = cohort(11, 200, ties=False)
    with pytest.raises(NoFit, match=words):
        fit_cox(*spoil(X, time, event), ["a", "b"], engine=engine)


def test_few_events_zero_times_and_no_censoring_are_said() -> None:
    X, time, event = cohort(12)
    assert "per covariate" in " ".join(fit_cox(X, time, event * (np.arange(60) < 9), ["a", "b"]).warnings)
    assert "follow-up time of zero" in " ".join(fit_cox(X, time - time.min(), event, ["a", "b"]).warnings)
    assert "no censoring" in " ".join(fit_cox(X, time, event * 0 + 1, ["a", "b"]).warnings)


def test_concordance_needs_a_comparable_pair() -> None:
    with pytest.raises(NoFit, match="no two rows can be compared"):
        concordance(np.zeros(3), np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))
