"""Annealing by swaps: two women of one outcome group exchange a value until the cohort analyses as published.

Swaps inside a group leave every mean, SD and count of Table 1 as it is. Compiled, because each of the many thousands of
steps refits the Cox models that the swap touches.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from vbq.cohort.arrays import Floats, Ints
from vbq.cohort.survival.compiled import solve

# Columns of the array that is annealed
AGE, WEIGHT, CRCL, ALP, VBQ, T, HISTORY, TIME = range(8)
COLUMNS = ("age", "weight", "crcl", "alp", "vbq", "t_score", "history_vf", "follow_up")
# The six Cox models of Table 2: how many covariates, and which
SIZES = np.array([1, 1, 1, 5, 5, 2])
MEMBERS = np.array(
    [
        [VBQ, 0, 0, 0, 0],
        [T, 0, 0, 0, 0],
        [HISTORY, 0, 0, 0, 0],
        [VBQ, AGE, WEIGHT, CRCL, ALP],
        [T, AGE, WEIGHT, CRCL, ALP],
        [VBQ, T, 0, 0, 0],
    ]
)
HOTTEST, COLDEST = 60.0, 0.05


class Rows(NamedTuple):
    """Standardised columns (n, 8), their SDs (8,), and rows by decreasing time (n,)."""

    Z: Floats
    scale: Floats
    order: Ints


@njit(cache=True, error_model="numpy")
def _cox(Z: Floats, order: Ints, members: Ints, n_events: int, beta: Floats) -> Floats:
    """Newton from beta (in and out), unique times; standard errors. Rows below n_events have the event."""
    p = len(members)
    n = len(order)
    info = np.zeros((p, p))
    score = np.zeros(p)
    step = np.zeros(p)
    s1 = np.zeros(p)
    s2 = np.zeros((p, p))
    for _ in range(25):
        info[:, :] = 0.0
        score[:] = 0.0
        s1[:] = 0.0
        s2[:, :] = 0.0
        s0 = 0.0
        for k in range(n):
            i = order[k]
            predictor = 0.0
            for a in range(p):
                predictor += Z[i, members[a]] * beta[a]
            risk = np.exp(predictor)
            s0 += risk
            for a in range(p):
                w = risk * Z[i, members[a]]
                s1[a] += w
                for b in range(a + 1):
                    s2[a, b] += w * Z[i, members[b]]
            if i < n_events:
                inverse = 1.0 / s0
                for a in range(p):
                    mean = s1[a] * inverse
                    score[a] += Z[i, members[a]] - mean
                    for b in range(a + 1):
                        info[a, b] += s2[a, b] * inverse - mean * s1[b] * inverse
        solve(info, score, 0.0, step)
        largest = 0.0
        for a in range(p):
            largest = max(largest, abs(step[a]))
        if largest > 1.0:
            step *= 1.0 / largest
        beta += step
        if largest < 1e-6:
            break
    errors = np.zeros(p)
    for a in range(p):  # one column of the inverse at a time
        score[:] = 0.0
        score[a] = 1.0
        solve(info, score, 0.0, step)
        errors[a] = np.sqrt(step[a])
    return errors


@njit(cache=True, error_model="numpy")
def _curve(marker: Floats, label: Floats) -> tuple[float, float, float, float]:
    """(AUC, Youden's cut-off, sensitivity, specificity) of a rising marker."""
    order = np.argsort(marker)
    n = len(order)
    positives = label.sum()
    negatives = n - positives
    below_p = 0.0
    below_n = 0.0
    area = 0.0
    best, cut, sensitivity, specificity = -1.0, 0.0, 0.0, 0.0
    i = 0
    while i < n:
        j = i
        p = 0.0
        while j < n and marker[order[j]] == marker[order[i]]:
            p += label[order[j]]
            j += 1
        q = (j - i) - p
        area += p * (below_n + 0.5 * q)
        below_p += p
        below_n += q
        se, sp = 1.0 - below_p / positives, below_n / negatives
        if j < n and se + sp > best + 1e-12:
            best, sensitivity, specificity = se + sp, se, sp
            cut = 0.5 * (marker[order[i]] + marker[order[j]])
        i = j
    return area / (positives * negatives), cut, sensitivity, specificity


@njit(cache=True, error_model="numpy")
def _rates(marker: Floats, label: Floats, cut: float) -> tuple[float, float]:
    """(sensitivity, specificity) of marker > cut."""
    true, false, positives = 0.0, 0.0, label.sum()
    for i in range(len(marker)):
        if marker[i] > cut:
            if label[i] == 1.0:
                true += 1.0
            else:
                false += 1.0
    return true / positives, 1.0 - false / (len(marker) - positives)


@njit(cache=True, error_model="numpy")
def _ratios(rows: Rows, n_events: int, column: int, beta: Floats, found: Floats) -> None:
    """Refit the models that `column` (-1: all) touches; beta (6, 5) warm, found filled at 0..13."""
    Z, scale, order = rows.Z, rows.scale, rows.order
    for m in range(6):
        p = SIZES[m]
        touched = column in (-1, TIME)
        for a in range(p):
            touched = touched or MEMBERS[m, a] == column
        if not touched:
            continue
        members = MEMBERS[m, :p].copy()
        start = beta[m, :p].copy()
        se = _cox(Z, order, members, n_events, start)
        beta[m, :p] = start
        found[m] = start[0] / scale[members[0]]
        found[7 + m] = se[0] / scale[members[0]]
        if m == 5:
            found[6] = start[1] / scale[T]
            found[13] = se[1] / scale[T]


@njit(cache=True, error_model="numpy")
def _diagnostics(D: Floats, n_events: int, found: Floats) -> None:
    """Fill found at 14..26: correlation, ROC curves, VBQ of cases without osteoporosis."""
    vbq, t, history = D[:, VBQ].copy(), D[:, T].copy(), D[:, HISTORY].copy()
    porous = np.zeros(len(vbq))
    total, count = 0.0, 0.0
    for i in range(len(vbq)):
        if t[i] <= -2.5 or (t[i] < -1.0 and history[i] == 1.0):
            porous[i] = 1.0
        elif i < n_events:
            total += vbq[i]
            count += 1.0
    found[14] = ((vbq - vbq.mean()) * (t - t.mean())).mean() / (vbq.std() * t.std())
    found[15], found[18], _, _ = _curve(vbq, porous)
    found[16], found[19], _, _ = _curve(vbq, history)
    found[17], _, found[24], found[25] = _curve(-t, history)
    found[20], found[21] = _rates(vbq, porous, 3.95)
    found[22], found[23] = _rates(vbq, history, 3.85)
    found[26] = total / count


@njit(cache=True, error_model="numpy")
def _loss(found: Floats, target: Floats, tolerance: Floats) -> float:
    """Huber's: one target that is hard to meet must not drown the rest."""
    total = 0.0
    for i in range(len(found)):
        z = abs(found[i] - target[i]) / tolerance[i]
        total += z * z if z < 5.0 else 10.0 * z - 25.0
    return total


@njit(cache=True, error_model="numpy")
def anneal(
    D: Floats, n_events: int, chances: Floats, target: Floats, tolerance: Floats
) -> tuple[Floats, float, Floats]:
    """(best array, its loss, its figures). D (n, 8), rows with the event first; chances (steps, 5) uniform numbers."""
    n = len(D)
    D = D.copy()
    Z = np.empty_like(D)
    scale = np.empty(8)
    for c in range(8):
        scale[c] = D[:, c].std()
        Z[:, c] = (D[:, c] - D[:, c].mean()) / scale[c]
    order = np.argsort(-D[:, TIME])
    beta = np.zeros((6, 5))
    found = np.zeros(len(target))
    _ratios(Rows(Z, scale, order), n_events, -1, beta, found)
    _diagnostics(D, n_events, found)
    now = _loss(found, target, tolerance)
    best, best_D, best_found = now, D.copy(), found.copy()
    steps = len(chances)
    for step in range(steps):
        temperature = HOTTEST * (COLDEST / HOTTEST) ** (step / steps)
        if chances[step, 0] * n < n_events:
            i, j = int(chances[step, 1] * n_events), int(chances[step, 2] * n_events)
        else:
            i = n_events + int(chances[step, 1] * (n - n_events))
            j = n_events + int(chances[step, 2] * (n - n_events))
        column = min(8, int(chances[step, 3] * 9))
        if column == 8:
            column = VBQ
        if i == j or D[i, column] == D[j, column]:
            continue
        # a history swapped between women of unlike class would change the numbers of osteoporosis
        if column == HISTORY and (-2.5 < D[i, T] < -1.0) != (-2.5 < D[j, T] < -1.0):
            continue
        together = column == T  # a T-score takes its history along, for the same reason
        last = HISTORY if together else column
        for c in range(column, last + 1):
            D[i, c], D[j, c] = D[j, c], D[i, c]
            Z[i, c], Z[j, c] = Z[j, c], Z[i, c]
        if column == TIME:
            order = np.argsort(-D[:, TIME])
        old_found, old_beta = found.copy(), beta.copy()
        _ratios(Rows(Z, scale, order), n_events, column, beta, found)
        if together:
            _ratios(Rows(Z, scale, order), n_events, HISTORY, beta, found)
        if column in (VBQ, T, HISTORY):
            _diagnostics(D, n_events, found)
        new = _loss(found, target, tolerance)
        if new <= now or chances[step, 4] < np.exp((now - new) / temperature):
            now = new
            if now < best:
                best, best_D, best_found = now, D.copy(), found.copy()
            continue
        found, beta = old_found, old_beta
        for c in range(column, last + 1):
            D[i, c], D[j, c] = D[j, c], D[i, c]
            Z[i, c], Z[j, c] = Z[j, c], Z[i, c]
        if column == TIME:
            order = np.argsort(-D[:, TIME])
    return best_D, best, best_found
