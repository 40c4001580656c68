"""Which rows bend the fit? dfbeta: the approximate change of each coefficient when a row is left out, as in R."""

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.likelihood import per_moment


def score_residuals(fit: CoxFit) -> Floats:
    """(n, p) in the original row order, on the scale of the standardised covariates (Therneau 1990).

    Efron's residuals follow survival's coxscore: a tied event takes part in its own moment at 1 - l/d.
    """
    sets, Z, state = fit.sets, fit.sorted_covariates, fit.state
    inverse = 1 / state.denominator
    hazard = np.append(per_moment(sets, inverse), 0.0)
    mean_hazard = np.vstack([per_moment(sets, inverse[:, None] * state.mean), np.zeros((1, Z.shape[1]))])
    below = np.cumsum(hazard[::-1])[::-1]
    mean_below = np.cumsum(mean_hazard[::-1], axis=0)[::-1]
    entry = sets.moment
    residual: Floats = -state.risk[:, None] * (Z * below[entry][:, None] - mean_below[entry])
    own = np.append(per_moment(sets, sets.fraction * inverse), 0.0)
    own_mean = np.vstack([per_moment(sets, (sets.fraction * inverse)[:, None] * state.mean), np.zeros((1, Z.shape[1]))])
    rows = sets.event_row
    at = sets.event_moment
    average = per_moment(sets, state.mean) / sets.deaths[:, None]
    residual[rows] += Z[rows] - average[at]
    residual[rows] += state.risk[rows][:, None] * (Z[rows] * own[at][:, None] - own_mean[at])
    result: Floats = np.empty_like(residual)
    result[sets.order] = residual
    return result


def dfbeta(fit: CoxFit) -> Floats:
    """(n, p) change of each coefficient by leaving out each row, in covariate units."""
    scale = fit.design.scale
    scaled_covariance = fit.covariance * np.outer(scale, scale)
    change: Floats = score_residuals(fit) @ scaled_covariance / scale
    return change
