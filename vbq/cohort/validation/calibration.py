"""Do predicted risks come true? Observed against expected, and a smooth curve with ICI, E50 and E90.

The curve regresses the outcome on a restricted cubic spline of log(-log(1 - risk)) and reads the observed risk off it
(Austin, Harrell, van Klaveren 2020).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.splines import basis, knots_of
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.current_status import fit_current_status
from vbq.cohort.survival.kaplan_meier import kaplan_meier

KNOTS = 3
EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Calibration:
    """Agreement at the horizon. predicted and observed (n,) are sorted for drawing."""

    expected: float
    observed: float
    observed_lower: float
    observed_upper: float
    ici: float
    e50: float
    e90: float
    predicted_curve: Floats
    observed_curve: Floats

    def as_dict(self) -> dict[str, float]:
        """Keys of `vbq model validate --json`."""
        return {
            "expected": self.expected,
            "observed": self.observed,
            "observed_lower": self.observed_lower,
            "observed_upper": self.observed_upper,
            "observed_to_expected": self.observed / self.expected,
            "ici": self.ici,
            "e50": self.e50,
            "e90": self.e90,
        }


def _spread(risk: Floats) -> Floats:
    clipped = np.clip(risk, EDGE, 1 - EDGE)
    spread: Floats = np.log(-np.log1p(-clipped))
    return spread


def _spline(z: Floats) -> Floats:
    try:
        return basis(z, knots_of(z, KNOTS))
    except NoFit:  # few different risks (a yes-no covariate alone): a straight line is all that can be seen
        return z[:, None]


def _errors(risk: Floats, smooth: Floats) -> tuple[float, float, float]:
    gap = np.abs(smooth - risk)
    return float(gap.mean()), float(np.median(gap)), float(np.quantile(gap, 0.9))


def calibrate_survival(risk: Floats, time: Floats, event: Bools, horizon: float) -> Calibration:
    """Calibration of risks (n,) by the horizon under right censoring."""
    z = _spread(risk)
    columns = _spline(z)
    names = [f"spline{j}" for j in range(columns.shape[1])]
    try:
        smooth = 1 - fit_cox(columns, time, event, names).survival(columns, np.array([horizon])).survival[:, 0]
    except NoFit:
        columns = z[:, None]
        smooth = 1 - fit_cox(columns, time, event, ["risk"]).survival(columns, np.array([horizon])).survival[:, 0]
    km = kaplan_meier(time, event)
    low, high = km.limits_at(horizon)
    order = np.argsort(risk)
    observed = 1 - float(km.at(horizon)[0])
    return Calibration(
        float(risk.mean()), observed, 1 - high, 1 - low, *_errors(risk, smooth), risk[order], smooth[order]
    )


def calibrate_visits(risk: Floats, time: Floats, event: Bools) -> Calibration:
    """Calibration of risks (n,) of being found with the event at one's own visit."""
    z = _spread(risk)
    columns = _spline(z - np.log(time))
    names = [f"spline{j}" for j in range(columns.shape[1])]
    try:
        fit = fit_current_status(columns, time, event, names)
    except NoFit:
        columns = (z - np.log(time))[:, None]
        fit = fit_current_status(columns, time, event, ["risk"])
    smooth = -np.expm1(-time * np.exp(fit.intercept + fit.predictor(columns)))
    low, high = wilson(int(event.sum()), len(event))
    order = np.argsort(risk)
    return Calibration(
        float(risk.mean()), float(event.mean()), low, high, *_errors(risk, smooth), risk[order], smooth[order]
    )


def wilson(events: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion."""
    z = float(norm.ppf(0.5 + level / 2))
    p = events / n
    middle = p + z * z / (2 * n)
    wide = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return (middle - wide) / (1 + z * z / n), (middle + wide) / (1 + z * z / n)
