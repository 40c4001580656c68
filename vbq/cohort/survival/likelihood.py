"""The partial likelihood of the Cox model, its gradient and its information, in numpy.

Efron's approximation (Efron 1977) replaces a risk-set sum S by S - (l/d) D for the l-th of d tied events, where D is
the sum over the tied events alone; Breslow's keeps S. Everything is a running sum over rows by decreasing time.
"""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.survival.risksets import RiskSets


@dataclass(frozen=True, slots=True)
class State:
    """The likelihood at one coefficient vector. d events, n sorted rows, p covariates."""

    log_likelihood: float
    risk: Floats
    "(n,) exp(linear predictor), up to the common factor exp(-shift)"
    shift: float
    denominator: Floats
    "(d,) risk-set sum at each event"
    mean: Floats
    "(d, p) risk-weighted covariate mean at each event"


def per_moment(sets: RiskSets, values: Floats) -> Floats:
    """Sums of event-wise values (d,) or (d, p) at each moment: (m,) or (m, p)."""
    m = len(sets.moment_time)
    if values.ndim == 1:
        sums: Floats = np.bincount(sets.event_moment, values, m).astype(np.float64, copy=False)
        return sums
    return np.column_stack([np.bincount(sets.event_moment, column, m) for column in values.T])


def state_at(sets: RiskSets, Z: Floats, beta: Floats) -> State:
    """Z (n, p) in sorted order, beta (p,)."""
    predictor = Z @ beta
    shift = float(predictor.max(initial=0.0))
    risk = np.exp(predictor - shift)
    weighted = risk[:, None] * Z
    events, moment = sets.event_row, sets.event_moment
    total = np.cumsum(risk)[sets.last_row]
    total_z = np.cumsum(weighted, axis=0)[sets.last_row]
    tied = per_moment(sets, risk[events])
    tied_z = per_moment(sets, weighted[events])
    denominator = total[moment] - sets.fraction * tied[moment]
    # Far from the maximum risks may underflow; the likelihood is then not finite and the step is halved
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = (total_z[moment] - sets.fraction[:, None] * tied_z[moment]) / denominator[:, None]
        log_likelihood = float((predictor[events] - shift).sum() - np.log(denominator).sum())
    return State(log_likelihood, risk, shift, denominator, mean)


def score(sets: RiskSets, Z: Floats, state: State) -> Floats:
    """Gradient (p,)."""
    gradient: Floats = (Z[sets.event_row] - state.mean).sum(axis=0)
    return gradient


def information(sets: RiskSets, Z: Floats, state: State, weight: Floats | None = None) -> Floats:
    """Observed information (p, p); each event's contribution times `weight` (d,) where given.

    The second moments are not accumulated row by row: a row enters with the sum of weight/denominator over the moments
    at which it is at risk, less the tied fraction at its own event, which leaves one matrix product.
    """
    q = np.ones(len(sets.event_row)) if weight is None else weight
    m = len(sets.moment_time)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _information(sets, Z, state, q, m)


def _information(sets: RiskSets, Z: Floats, state: State, q: Floats, m: int) -> Floats:
    share = np.append(per_moment(sets, q / state.denominator), 0.0)
    exposure = np.cumsum(share[::-1])[::-1][sets.moment]
    own = np.append(per_moment(sets, q * sets.fraction / state.denominator), 0.0)
    at_own_event = np.where(sets.event, own[np.minimum(sets.moment, m)], 0.0)
    weights = state.risk * (exposure - at_own_event)
    matrix: Floats = (Z * weights[:, None]).T @ Z - (state.mean * q[:, None]).T @ state.mean
    return matrix
