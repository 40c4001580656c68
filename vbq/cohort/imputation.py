"""Multiple imputation by chained equations, and Rubin's rules to bring the fits together.

Every incomplete covariate is drawn by predictive mean matching from the others, the event and the Nelson-Aalen hazard
at the follow-up time (White and Royston 2009), so an imputed value is always one that somebody really has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.baseline import BaselineHazard
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.current_status import CurrentStatusFit

ROUNDS = 10
DONORS = 5
RIDGE = 1e-6
FEWEST_KNOWN = 10


def nelson_aalen(time: Floats, event: Bools) -> Floats:
    """Cumulative hazard of everybody at each person's own time (n,)."""
    distinct, place = np.unique(time, return_inverse=True)
    leaving = np.bincount(place, minlength=len(distinct))
    deaths = np.bincount(place, event.astype(np.float64), len(distinct))
    at_risk = len(time) - np.concatenate(([0], np.cumsum(leaving)[:-1]))
    hazard: Floats = np.cumsum(deaths / at_risk)[place]
    return hazard


def impute(
    X: Floats, time: Floats, event: Bools, names: Sequence[str], *, copies: int, rng: np.random.Generator
) -> list[Floats]:
    """`copies` completed versions of X (n, p), whose NaN are missing. Raises NoFit where too little is known."""
    missing = np.isnan(X)
    for j, name in enumerate(names):
        known = int((~missing[:, j]).sum())
        if known < FEWEST_KNOWN:
            raise NoFit(f"'{name}' is known for {known} people only, too few to impute from; leave the covariate out")
    helpers = np.column_stack([event.astype(np.float64), nelson_aalen(time, event)])
    return [_one_copy(X, missing, helpers, rng) for _ in range(copies)]


def _one_copy(X: Floats, missing: Bools, helpers: Floats, rng: np.random.Generator) -> Floats:
    filled = X.copy()
    columns = [int(j) for j in np.argsort(missing.sum(axis=0)) if missing[:, j].any()]
    for j in columns:
        gaps = missing[:, j]
        filled[gaps, j] = rng.choice(X[~gaps, j], int(gaps.sum()))
    for _ in range(ROUNDS):
        for j in columns:
            others = np.column_stack([np.delete(filled, j, axis=1), helpers])
            filled[missing[:, j], j] = _matched(others, X[:, j], missing[:, j], rng)
    return filled


def _matched(others: Floats, y: Floats, gaps: Bools, rng: np.random.Generator) -> Floats:
    """Values for the gaps of y: each from one of the DONORS whose prediction is nearest (type 1 matching)."""
    scale = others.std(axis=0)
    Z = np.column_stack([np.ones(len(y)), (others - others.mean(axis=0)) / np.where(scale > 0, scale, 1.0)])
    A, b = Z[~gaps], y[~gaps]
    gram = A.T @ A
    factor = cho_factor(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)))
    beta = cho_solve(factor, A.T @ b)
    freedom = max(1, len(b) - A.shape[1])
    sigma = float(np.sqrt(((b - A @ beta) ** 2).sum() / rng.chisquare(freedom)))
    upper = np.triu(factor[0])
    drawn = beta + sigma * np.linalg.solve(upper, rng.standard_normal(len(beta)))
    donors = A @ beta
    order = np.argsort(donors)
    near = np.searchsorted(donors[order], Z[gaps] @ drawn)
    k = min(DONORS, len(b))
    start = np.clip(near - k // 2, 0, len(b) - k)
    values: Floats = b[order[start + rng.integers(0, k, int(gaps.sum()))]]
    return values


@dataclass(frozen=True, slots=True)
class Pooled:
    """Rubin's rules: the mean, and the variance within plus (1 + 1/m) times that between imputations."""

    mean: Floats
    covariance: Floats
    missing_information: float
    """Largest share of a coefficient's variance that is due to missing values."""


def rubin(estimates: Sequence[Floats], covariances: Sequence[Floats]) -> Pooled:
    """Pool m estimates (k,) with covariances (k, k)."""
    Q = np.array(estimates)
    m = len(Q)
    within = np.mean(covariances, axis=0)
    between = np.atleast_2d(np.cov(Q.T)) if m > 1 else np.zeros_like(within)
    total: Floats = within + (1 + 1 / m) * between
    share = float(np.max((1 + 1 / m) * np.diag(between) / np.diag(total)))
    return Pooled(Q.mean(axis=0), total, share)


def pool_cox(fits: Sequence[CoxFit]) -> tuple[CoxFit, float]:
    """(one fit with pooled coefficients, covariance and baseline; share of missing information)."""
    pooled = rubin([fit.coefficients for fit in fits], [fit.covariance for fit in fits])
    centre: Floats = np.mean([fit.centre for fit in fits], axis=0)
    moved = [_moved(fit.baseline, fit, centre) for fit in fits]
    H = np.array([b.hazard for b in moved])
    m = len(fits)
    variance = np.mean([b.variance for b in moved], axis=0)
    if m > 1:
        variance = variance + (1 + 1 / m) * H.var(axis=0, ddof=1)
    baseline = BaselineHazard(
        time=moved[0].time,
        hazard=np.exp(np.log(H).mean(axis=0)),
        variance=variance,
        mean=np.mean([b.mean for b in moved], axis=0),
    )
    first = fits[0]
    joined = replace(
        first,
        coefficients=pooled.mean,
        covariance=pooled.covariance,
        centre=centre,
        log_likelihood=float(np.mean([fit.log_likelihood for fit in fits])),
        pooled_baseline=baseline,
    )
    return joined, pooled.missing_information


def _moved(baseline: BaselineHazard, fit: CoxFit, centre: Floats) -> BaselineHazard:
    """The same baseline for a person at another centre."""
    factor = float(np.exp((centre - fit.centre) @ fit.coefficients))
    shift = fit.centre - centre
    return BaselineHazard(
        baseline.time,
        baseline.hazard * factor,
        baseline.variance * factor**2,
        factor * (baseline.mean + np.outer(baseline.hazard, shift)),
    )


def pool_current_status(fits: Sequence[CurrentStatusFit]) -> tuple[CurrentStatusFit, float]:
    """(one fit with pooled intercept, coefficients and covariance; share of missing information)."""
    centre: Floats = np.mean([fit.centre for fit in fits], axis=0)
    estimates, covariances = [], []
    for fit in fits:
        move = np.eye(1 + len(centre))
        move[0, 1:] = centre - fit.centre
        estimates.append(move @ np.concatenate(([fit.intercept], fit.coefficients)))
        covariances.append(move @ fit.joint_covariance @ move.T)
    pooled = rubin(estimates, covariances)
    joined = replace(
        fits[0],
        intercept=float(pooled.mean[0]),
        coefficients=pooled.mean[1:],
        joint_covariance=pooled.covariance,
        centre=centre,
        log_likelihood=float(np.mean([fit.log_likelihood for fit in fits])),
    )
    return joined, pooled.missing_information
