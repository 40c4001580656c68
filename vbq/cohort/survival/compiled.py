"""The same Newton steps compiled, for large cohorts and for thousands of bootstrap refits.

Importing numba takes a moment and the first call compiles (then cached on disk), so only the bench comes here.
Rows may be repeated: `copies` counts how often each row was drawn, and c copies of an event are c tied events, which is
what resampling rows with replacement does under Efron's method.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from vbq.cohort.arrays import Bools, Floats, Ints
from vbq.cohort.survival.newton import RUNAWAY


class Rows(NamedTuple):
    """The cohort by decreasing time: standardised Z (n, p), last row of each distinct time (n,), event (n,)."""

    Z: Floats
    ends: Bools
    event: Bools


class Rule(NamedTuple):
    """How to fit, and when to stop."""

    efron: bool
    ridge: float
    most: int
    tolerance: float
    vanished: float
    gram: Floats
    "(p, p) mean of z z', which gives the spread of a predictor"


OK, SINGULAR, NO_ASCENT, NOT_SETTLED, RAN_AWAY = 0, 1, 2, 3, 4


@njit(cache=True, error_model="numpy")
def _evaluate(rows: Rows, copies: Ints, efron: bool, beta: Floats, derivatives: tuple[Floats, Floats]) -> float:
    """Log-likelihood at beta; fills the gradient (p,) and the lower triangle of the information (p, p)."""
    gradient, info = derivatives
    Z, ends, event = rows.Z, rows.ends, rows.event
    n, p = Z.shape
    gradient[:] = 0.0
    info[:, :] = 0.0
    s0 = 0.0
    d0 = 0.0
    s1 = np.zeros(p)
    d1 = np.zeros(p)
    s2 = np.zeros((p, p))
    d2 = np.zeros((p, p))
    mean = np.zeros(p)
    first = 0
    tied = 0
    value = 0.0
    for i in range(n):
        c = copies[i]
        if c > 0:
            predictor = 0.0
            for j in range(p):
                predictor += Z[i, j] * beta[j]
            risk = c * np.exp(predictor)
            s0 += risk
            for j in range(p):
                w = risk * Z[i, j]
                s1[j] += w
                for k in range(j + 1):
                    s2[j, k] += w * Z[i, k]
            if event[i]:
                tied += c
                value += c * predictor
                for j in range(p):
                    gradient[j] += c * Z[i, j]
        if not ends[i]:
            continue
        if efron and tied > 1:  # the sums over the tied events alone, wanted only here
            d0 = 0.0
            d1[:] = 0.0
            d2[:, :] = 0.0
            for r in range(first, i + 1):
                if event[r] and copies[r] > 0:
                    predictor = 0.0
                    for j in range(p):
                        predictor += Z[r, j] * beta[j]
                    risk = copies[r] * np.exp(predictor)
                    d0 += risk
                    for j in range(p):
                        w = risk * Z[r, j]
                        d1[j] += w
                        for k in range(j + 1):
                            d2[j, k] += w * Z[r, k]
        for place in range(tied):
            f = place / tied if efron else 0.0
            a = s0 - f * d0
            value -= np.log(a)
            inverse = 1.0 / a
            for j in range(p):
                mean[j] = (s1[j] - f * d1[j]) * inverse
                gradient[j] -= mean[j]
                for k in range(j + 1):
                    info[j, k] += (s2[j, k] - f * d2[j, k]) * inverse - mean[j] * mean[k]
        tied = 0
        first = i + 1
    return value


@njit(cache=True, error_model="numpy")
def solve(info: Floats, gradient: Floats, ridge: float, step: Floats) -> bool:
    """Solve for step = (info + ridge I)^-1 gradient by Cholesky; False where info is not positive definite."""
    p = len(gradient)
    L = np.zeros((p, p))
    for j in range(p):
        for k in range(j + 1):
            total = info[j, k] + (ridge if j == k else 0.0)
            for m in range(k):
                total -= L[j, m] * L[k, m]
            if j == k:
                if not total > 1e-13 * (info[j, j] + ridge):
                    return False
                L[j, j] = np.sqrt(total)
            else:
                L[j, k] = total / L[k, k]
    for j in range(p):
        total = gradient[j]
        for m in range(j):
            total -= L[j, m] * step[m]
        step[j] = total / L[j, j]
    for j in range(p - 1, -1, -1):
        total = step[j]
        for m in range(j + 1, p):
            total -= L[m, j] * step[m]
        step[j] = total / L[j, j]
    return True


@njit(cache=True, error_model="numpy")
def newton(rows: Rows, copies: Ints, rule: Rule) -> tuple[int, Floats, Floats, float, float, int, Floats]:
    """(status, beta, information, log-likelihood, at zero, iterations, last step). copies (n,) of each row."""
    ridge = rule.ridge
    p = rows.Z.shape[1]
    beta = np.zeros(p)
    candidate = np.zeros(p)
    gradient = np.zeros(p)
    info = np.zeros((p, p))
    step = np.zeros(p)
    likelihood = null = _evaluate(rows, copies, rule.efron, beta, (gradient, info))
    value = null
    status = NOT_SETTLED
    iteration = 0
    while iteration < rule.most:
        iteration += 1
        for j in range(p):
            gradient[j] -= ridge * beta[j]
        if not solve(info, gradient, ridge, step):
            status = SINGULAR
            break
        scale = 1.0
        reached = -np.inf
        while True:
            norm = 0.0
            for j in range(p):
                candidate[j] = beta[j] + scale * step[j]
                norm += candidate[j] * candidate[j]
            likelihood = _evaluate(rows, copies, rule.efron, candidate, (gradient, info))
            reached = likelihood - 0.5 * ridge * norm
            if np.isfinite(reached) and reached >= value - rule.tolerance * abs(value):
                break
            scale /= 2.0
            if scale < 1e-9:
                status = NO_ASCENT
                break
        if status == NO_ASCENT:
            break
        spread = 0.0
        for j in range(p):
            for k in range(p):
                spread += candidate[j] * rule.gram[j, k] * candidate[k]
        if spread > RUNAWAY * RUNAWAY:
            status = RAN_AWAY
            beta[:] = candidate
            break
        flat = scale == 1.0 and abs(reached - value) <= max(rule.tolerance * abs(reached), rule.vanished)
        beta[:] = candidate
        value = reached
        if flat:
            status = OK
            break
    for j in range(p):
        for k in range(j):
            info[k, j] = info[j, k]
    return status, beta, info, likelihood, null, iteration, step


@njit(cache=True, error_model="numpy")
def refits(rows: Rows, copies: Ints, rule: Rule) -> tuple[Ints, Floats]:
    """A fit for each row of copies (B, n): statuses (B,) and coefficients (B, p)."""
    B = copies.shape[0]
    status = np.zeros(B, dtype=np.int64)
    beta = np.zeros((B, rows.Z.shape[1]))
    for b in range(B):
        one, coefficients, _, _, _, _, _ = newton(rows, copies[b], rule)
        status[b] = one
        beta[b] = coefficients
    return status, beta


@njit(cache=True, error_model="numpy")
def cumulative_hazard(rows: Rows, copies: Ints, efron: bool, beta: Floats, upto: Bools) -> float:
    """Baseline cumulative hazard at Z = 0 over the rows marked `upto` (time at most the horizon); Efron or Breslow."""
    Z, ends, event = rows.Z, rows.ends, rows.event
    n, p = Z.shape
    s0 = 0.0
    d0 = 0.0
    tied = 0
    total = 0.0
    for i in range(n):
        c = copies[i]
        if c > 0:
            predictor = 0.0
            for j in range(p):
                predictor += Z[i, j] * beta[j]
            risk = c * np.exp(predictor)
            s0 += risk
            if event[i]:
                tied += c
                d0 += risk
        if ends[i]:
            if upto[i]:
                for place in range(tied):
                    total += 1.0 / (s0 - (place / tied if efron else 0.0) * d0)
            tied = 0
            d0 = 0.0
    return total
