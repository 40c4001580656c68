"""Newton's method for the partial likelihood, with step halving, and what it means when it does not settle."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.likelihood import information, score, state_at
from vbq.cohort.survival.risksets import RiskSets

LARGEST_ITERATIONS = 50
TOLERANCE = 1e-11
"""Relative change of the log-likelihood at which to stop. R's coxph stops at 1e-9 and can be a step short of the
maximum (2e-8 of a coefficient on `rossi`, 8e-7 on `flchain`); the reference answers were made with a tighter rule."""
VANISHED = 1e-10
"""Absolute change at which to stop when the log-likelihood itself goes to zero (every event perfectly predicted)."""
STILL_MOVING = 0.05
"""A last step that moves somebody's log hazard by this much while the likelihood is flat: there is no maximum."""


RUNAWAY = 30.0
"""A standard deviation of the log hazard that no data support; reached on the way to infinity only. Of the predictor
and not of single coefficients, because those of nearly collinear columns are large and cancel."""
LARGE = 5.0
"""One that explains a singular information matrix."""


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where Newton's method ended. Coefficients and information on the scale of the covariates given."""

    beta: Floats
    information: Floats
    log_likelihood: float
    log_likelihood_null: float
    iterations: int
    running: Bools
    "(p,) coefficients that still grew while the likelihood was flat: the data separate the events"


def apart(Z: Floats, beta: Floats, limit: float) -> Bools:
    """(p,) the large ones of the coefficients where the predictor Z beta spreads by more than `limit`; else none."""
    size = np.abs(beta)
    large: Bools = (size > 0.1 * size.max()) & (float((Z @ beta).std()) > limit)
    return large


def still_moving(Z: Floats, step: Floats) -> Bools:
    """(p,) the coefficients that move somebody's predictor, where the step as a whole still does; else none."""
    alone = np.abs(step) * np.abs(Z).max(axis=0)
    moving: Bools = (alone > STILL_MOVING) & (float(np.abs(Z @ step).max()) > STILL_MOVING)
    return moving


def maximise(sets: RiskSets, Z: Floats, ridge: float = 0.0) -> Maximum:
    """Maximum of the (ridge-penalised) partial likelihood. Z (n, p) sorted and standardised. Raises NoFit."""
    p = Z.shape[1]
    beta = np.zeros(p)
    state = state_at(sets, Z, beta)
    value = null = state.log_likelihood
    penalty = ridge * np.eye(p)
    for iteration in range(1, LARGEST_ITERATIONS + 1):
        gradient = score(sets, Z, state) - ridge * beta
        try:
            step = cho_solve(cho_factor(information(sets, Z, state) + penalty), gradient)
        except (LinAlgError, ValueError) as error:  # ValueError: not finite, after risks have underflowed
            if (large := apart(Z, beta, LARGE)).any():
                return Maximum(beta, penalty, value, null, iteration, large)
            raise singular() from error
        scale = 1.0
        while True:
            candidate = beta + scale * step
            state = state_at(sets, Z, candidate)
            reached = state.log_likelihood - 0.5 * ridge * float(candidate @ candidate)
            if np.isfinite(reached) and reached >= value - TOLERANCE * abs(value):
                break
            scale /= 2
            if scale < 1e-9:
                raise NoFit(
                    "the likelihood cannot be increased any further and has no maximum within reach; "
                    "look for extreme values in the covariates, or fit with --ridge"
                )
        if (ran := apart(Z, candidate, RUNAWAY)).any():
            return Maximum(candidate, penalty, value, null, iteration, ran)
        flat = scale == 1.0 and abs(reached - value) <= max(TOLERANCE * abs(reached), VANISHED)
        beta, value = candidate, reached
        if flat:
            running = still_moving(Z, step)
            return Maximum(beta, information(sets, Z, state), state.log_likelihood, null, iteration, running)
    raise NoFit(
        f"no maximum after {LARGEST_ITERATIONS} Newton steps; use fewer covariates, or fit with --ridge to shrink them"
    )


def singular() -> NoFit:
    """The refusal for an information matrix without an inverse."""
    return NoFit(
        "the covariates cannot be told apart at the times of the events (singular information matrix): "
        "too few events for so many covariates, or covariates that hardly differ among those still at risk; "
        "use fewer covariates, or fit with --ridge"
    )
