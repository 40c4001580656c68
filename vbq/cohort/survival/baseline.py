"""The baseline hazard of a Cox fit and the survival of a person with its interval, as R's survfit.coxph gives them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from vbq.cohort.arrays import Floats
from vbq.cohort.survival.likelihood import State, per_moment
from vbq.cohort.survival.risksets import RiskSets

IntervalScale = Literal["log", "log-log"]
LARGEST_LOG_RISK = 300.0
"""Beyond it survival is zero at any hazard, and arithmetic would overflow."""


@dataclass(frozen=True, slots=True)
class BaselineHazard:
    """Step functions at k increasing event times, for a person at the covariates' centre. p covariates.

    hazard (k,) is the cumulative hazard H0, variance (k,) that of H0 given the coefficients, mean (k, p) the integral
    of the risk-weighted covariate mean less the centre (Tsiatis 1981; the pieces of survival's agsurv routines).
    """

    time: Floats
    hazard: Floats
    variance: Floats
    mean: Floats

    def at(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        """H0 (t,), its variance (t,) and mean (t, p); zero before the first event, right-continuous."""
        place = np.searchsorted(self.time, np.asarray(times, dtype=np.float64), side="right")
        return (
            np.concatenate(([0.0], self.hazard))[place],
            np.concatenate(([0.0], self.variance))[place],
            np.vstack([np.zeros((1, self.mean.shape[1])), self.mean])[place],
        )


def baseline_of(sets: RiskSets, state: State, scale: Floats) -> BaselineHazard:
    """The baseline that goes with the fit's own tie method. `scale` turns standardised means into covariate units."""
    increment = np.exp(-state.shift) / state.denominator
    hazard = per_moment(sets, increment)[::-1]
    variance = per_moment(sets, increment**2)[::-1]
    mean = per_moment(sets, increment[:, None] * state.mean * scale)[::-1]
    return BaselineHazard(
        time=np.ascontiguousarray(sets.moment_time[::-1]),
        hazard=np.cumsum(hazard),
        variance=np.cumsum(variance),
        mean=np.cumsum(mean, axis=0),
    )


@dataclass(frozen=True, slots=True)
class Curves:
    """Survival of r people at t times: three arrays (r, t)."""

    survival: Floats
    lower: Floats
    upper: Floats


def survival_curves(
    baseline: BaselineHazard,
    centred: Floats,
    coefficients: Floats,
    covariance: Floats,
    times: Floats,
    *,
    level: float = 0.95,
    scale: IntervalScale = "log",
) -> Curves:
    """S(t | x) = exp(-H0(t) exp(beta'z)) for z = x - centre, with limits.

    centred (r, p), times (t,). The variance of H(t|x) is r^2 (v + D' V D) with D = H0 z - m. Limits are symmetric on
    the scale of log S (R's default) or of log(-log S); the upper limit never exceeds 1.
    """
    hazard, variance, mean = baseline.at(times)
    risk = np.exp(np.minimum(centred @ coefficients, LARGEST_LOG_RISK))
    survival = np.exp(-np.outer(risk, hazard))
    lower, upper = np.ones_like(survival), np.ones_like(survival)
    z = float(norm.ppf(0.5 + level / 2))
    for j, h in enumerate(hazard):
        if h == 0:
            continue
        D = h * centred - mean[j]
        error = risk * np.sqrt(variance[j] + np.einsum("ij,jk,ik->i", D, covariance, D))
        total = risk * h
        if scale == "log":
            lower[:, j] = np.exp(-total - z * error)
            upper[:, j] = np.exp(np.minimum(0.0, z * error - total))
        else:
            lower[:, j] = np.exp(-total * np.exp(z * error / total))
            upper[:, j] = np.exp(-total * np.exp(-z * error / total))
    return Curves(survival, lower, upper)
