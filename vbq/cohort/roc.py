"""ROC curves: area with DeLong's interval, Youden's cut-off, sensitivity and specificity."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit


@dataclass(frozen=True, slots=True)
class Area:
    """AUC with its standard error (DeLong, DeLong, Clarke-Pearson 1988) and 95 % limits, cut at 0 and 1."""

    auc: float
    standard_error: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Roc:
    """A curve: at each threshold a test is positive where the marker exceeds it (or lies below it, if `falling`)."""

    area: Area
    cutoff: float
    sensitivity: float
    specificity: float
    falling: bool
    false_positive_rate: Floats
    true_positive_rate: Floats
    n_positive: int
    n_negative: int

    def as_dict(self) -> dict[str, float | int | str]:
        """Keys of the report."""
        return {
            "auc": self.area.auc,
            "lower": self.area.lower,
            "upper": self.area.upper,
            "se": self.area.standard_error,
            "cutoff": self.cutoff,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "positive_if": "below" if self.falling else "above",
            "n_positive": self.n_positive,
            "n_negative": self.n_negative,
        }


def _placements(score: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """DeLong's structural components (positives,), (negatives,) by ranks."""
    cases, controls = score[positive], score[~positive]
    m, n = len(cases), len(controls)
    if m == 0 or n == 0:
        raise NoFit("an ROC curve needs rows with and without the condition; there is only one of the two")
    joint = rankdata(np.concatenate([cases, controls]))
    return (joint[:m] - rankdata(cases)) / n, 1 - (joint[m:] - rankdata(controls)) / m


def auc(score: Floats, positive: Bools) -> Area:
    """Area under the curve of a score (n,) that is higher in positives (n,). Raises NoFit with one class only."""
    positive = np.asarray(positive, dtype=np.bool_)
    v10, v01 = _placements(np.asarray(score, dtype=np.float64), positive)
    area = float(v10.mean())
    variance = sum(float(v.var(ddof=1)) / len(v) for v in (v10, v01) if len(v) > 1)
    se = float(np.sqrt(variance))
    z = float(norm.ppf(0.975))
    return Area(area, se, max(0.0, area - z * se), min(1.0, area + z * se))


def auc_difference(first: Floats, second: Floats, positive: Bools) -> tuple[float, float, float]:
    """(AUC1 - AUC2, its standard error, p) of two scores of the same people (DeLong)."""
    positive = np.asarray(positive, dtype=np.bool_)
    (a10, a01), (b10, b01) = _placements(first, positive), _placements(second, positive)
    difference = float(a10.mean() - b10.mean())
    se = float(np.sqrt((a10 - b10).var(ddof=1) / len(a10) + (a01 - b01).var(ddof=1) / len(a01)))
    return difference, se, float(2 * norm.sf(abs(difference) / se)) if se > 0 else 1.0


def roc(marker: Floats, positive: Bools, *, falling: bool = False) -> Roc:
    """The curve of a marker (n,) for a condition (n,); `falling`: low values mean the condition.

    Cut-offs lie half-way between neighbouring values, as SPSS prints them; Youden's index chooses the first of equals.
    """
    marker = np.asarray(marker, dtype=np.float64)
    positive = np.asarray(positive, dtype=np.bool_)
    score = -marker if falling else marker
    area = auc(score, positive)
    values = np.unique(score)
    thresholds = np.concatenate(([values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]))
    cases, controls = np.sort(score[positive]), np.sort(score[~positive])
    sensitivity = 1 - np.searchsorted(cases, thresholds, side="right") / len(cases)
    specificity = np.searchsorted(controls, thresholds, side="right") / len(controls)
    youden = sensitivity + specificity - 1
    best = int(np.flatnonzero(youden >= youden.max() - 1e-12)[0])
    return Roc(
        area=area,
        cutoff=float(-thresholds[best] if falling else thresholds[best]),
        sensitivity=float(sensitivity[best]),
        specificity=float(specificity[best]),
        falling=falling,
        false_positive_rate=(1 - specificity)[::-1],
        true_positive_rate=sensitivity[::-1],
        n_positive=len(cases),
        n_negative=len(controls),
    )
