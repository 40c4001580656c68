"""Error and discrimination at a horizon under censoring, by inverse probability of censoring weights."""

import numpy as np

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.kaplan_meier import kaplan_meier


def censoring_weights(time: Floats, event: Bools, horizon: float) -> Floats:
    """(n,) Graf's weights: 1/G(t-) for events by the horizon, 1/G(horizon) for those followed beyond, 0 for censored.

    G is the Kaplan-Meier curve of being still under observation (Graf 1999; Gerds and Schumacher 2006).
    """
    G = kaplan_meier(time, ~event)
    early = event & (time <= horizon)
    late = time > horizon
    weights = np.zeros(len(time))
    with np.errstate(divide="ignore"):
        weights[early] = 1 / G.at(time[early], before=True)
        weights[late] = 1 / float(G.at(horizon)[0])
    if not np.isfinite(weights).all():
        raise NoFit(f"nobody is still observed at {horizon:g}; ask for an earlier horizon")
    return weights


def brier(risk: Floats, time: Floats, event: Bools, horizon: float, weights: Floats | None = None) -> float:
    """Weighted mean squared difference between risk (n,) by the horizon and what happened."""
    w = censoring_weights(time, event, horizon) if weights is None else weights
    happened = event & (time <= horizon)
    return float((w * (happened - risk) ** 2).sum() / len(time))


def null_brier(time: Floats, event: Bools, horizon: float, weights: Floats | None = None) -> float:
    """The Brier score of giving everybody the cohort's Kaplan-Meier risk."""
    same = 1 - float(kaplan_meier(time, event).at(horizon)[0])
    return brier(np.full(len(time), same), time, event, horizon, weights)


def ipa(score: float, null: float) -> float:
    """Index of prediction accuracy, 1 - Brier / null Brier (Kattan and Gerds 2018)."""
    return 1 - score / null


def time_dependent_auc(marker: Floats, time: Floats, event: Bools, horizon: float) -> float:
    """Cumulative/dynamic AUC at the horizon (Uno 2007; Blanche 2013): cases by then against those event-free beyond.

    marker (n,), higher means earlier event. Raises NoFit without cases or without controls.
    """
    case = event & (time <= horizon)
    control = time > horizon
    if not case.any() or not control.any():
        raise NoFit(f"at {horizon:g} there is nobody with, or nobody without the event; ask for another time")
    w = censoring_weights(time, event, horizon)[case]
    controls = np.sort(marker[control])
    lower = np.searchsorted(controls, marker[case], side="left")
    same = np.searchsorted(controls, marker[case], side="right") - lower
    return float((w * (lower + same / 2)).sum() / (w.sum() * len(controls)))


def time_dependent_roc(marker: Floats, time: Floats, event: Bools, horizon: float) -> tuple[Floats, Floats]:
    """(false positive rate, true positive rate) by the horizon, from (0, 0) to (1, 1): the curve of the AUC above.

    marker (n,), higher means earlier event; equal markers pass together. Raises NoFit without cases or controls.
    """
    case = event & (time <= horizon)
    control = time > horizon
    if not case.any() or not control.any():
        raise NoFit(f"at {horizon:g} there is nobody with, or nobody without the event; ask for another time")
    w = np.where(case, censoring_weights(time, event, horizon), 0.0)
    order = np.argsort(-marker, kind="stable")
    last = np.append(np.diff(marker[order]) != 0, True)
    true_positive = np.cumsum(w[order])[last] / w.sum()
    false_positive = np.cumsum(control[order])[last] / control.sum()
    return np.concatenate(([0.0], false_positive)), np.concatenate(([0.0], true_positive))
