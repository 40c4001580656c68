"""Decision curves: is acting on the model worth more than acting on nobody, or on everybody (Vickers, Elkin 2006)?"""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.survival.kaplan_meier import kaplan_meier

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 15))


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit per person, in events treated, at each threshold risk (t,)."""

    threshold: Floats
    model: Floats
    everybody: Floats

    def as_dict(self) -> list[dict[str, float]]:
        """Rows of `vbq model validate --json`."""
        rows = zip(self.threshold, self.model, self.everybody, strict=True)
        return [{"threshold": float(t), "model": float(m), "everybody": float(e), "nobody": 0.0} for t, m, e in rows]


def decision_curve(risk: Floats, time: Floats, event: Bools, horizon: float | None) -> DecisionCurve:
    """Net benefit of acting on risk (n,) above a threshold. horizon None: event (n,) is the outcome itself.

    Under censoring the event rate among those flagged is their Kaplan-Meier risk at the horizon (Vickers 2008).
    """
    threshold = np.array(THRESHOLDS)
    odds = threshold / (1 - threshold)

    def rate(rows: Bools) -> float:
        if not rows.any():
            return 0.0
        if horizon is None:
            return float(event[rows].mean())
        return 1 - float(kaplan_meier(time[rows], event[rows]).at(horizon)[0])

    overall = rate(np.ones(len(risk), dtype=np.bool_))
    benefit = []
    for t, o in zip(threshold, odds, strict=True):
        flagged: Bools = np.asarray(risk >= t, dtype=np.bool_)
        share = float(flagged.mean())
        r = rate(flagged)
        benefit.append(share * r - share * (1 - r) * o)
    return DecisionCurve(threshold, np.array(benefit), overall - (1 - overall) * odds)
