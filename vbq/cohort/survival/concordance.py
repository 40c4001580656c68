"""Harrell's C as R's concordance() counts it, and its standard error."""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.risksets import checked, equal_times

PAIRWISE_UP_TO = 3_000
"""Rows up to which all pairs are compared at once; beyond it a compiled tree counts in n log n."""


@dataclass(frozen=True, slots=True)
class Concordance:
    """C = (concordant + tied / 2) / comparable. A higher predictor should mean an earlier event."""

    c: float
    standard_error: float
    concordant: float
    discordant: float
    tied: float


def concordance(predictor: Floats, time: Floats, event: Floats | Bools) -> Concordance:
    """Over all pairs in which one is known to fail first; two events at one time are not comparable.

    predictor (n,), time (n,), event (n,) 0/1. The standard error is the infinitesimal jackknife of survival 3.
    """
    time, status = checked(time, event)
    time = equal_times(time)
    predictor = np.asarray(predictor, dtype=np.float64)
    # Rows alike in the covariates must tie, though their predictors may differ in the last bit
    largest = float(np.abs(predictor).max(initial=0.0))
    predictor = np.round(predictor / (largest or 1.0), 13)
    counts = _pairwise(predictor, time, status) if len(time) <= PAIRWISE_UP_TO else _tree(predictor, time, status)
    agree, disagree, level = counts.sum(axis=1) / 2
    comparable = agree + disagree + level
    if comparable == 0:
        raise NoFit("no two rows can be compared (no event is followed by a later time), so concordance is undefined")
    c = (agree + level / 2) / comparable
    own = (counts[0] + counts[2] / 2 - c * counts.sum(axis=0)) / comparable
    return Concordance(float(c), float(np.sqrt((own**2).sum())), float(agree), float(disagree), float(level))


def _pairwise(predictor: Floats, time: Floats, event: Bools) -> Floats:
    """(3, n): each row's concordant, discordant and tied pairs. Every pair is counted at both of its rows."""
    counts = np.zeros((3, len(time)))
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        lower = later & (predictor < predictor[i])
        higher = later & (predictor > predictor[i])
        same = later & (predictor == predictor[i])
        for row, mask in enumerate((lower, higher, same)):
            counts[row] += mask
            counts[row, i] += mask.sum()
    return counts


def _tree(predictor: Floats, time: Floats, event: Bools) -> Floats:
    from vbq.cohort.survival.compiled_pairs import pair_counts

    rank = np.unique(predictor, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((event, -time)).astype(np.int64)  # by decreasing time, censored before events of the same time
    counts: Floats = pair_counts(rank, time, event, order)
    return counts
