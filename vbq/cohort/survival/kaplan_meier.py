"""Kaplan-Meier curves with Greenwood's variance and limits as R's survfit (symmetric in log S), and log-rank."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from vbq.cohort.arrays import Bools, Floats, Ints
from vbq.cohort.survival.risksets import checked, equal_times


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """Steps at the k distinct times of the data, increasing."""

    time: Floats
    at_risk: Ints
    events: Ints
    survival: Floats
    lower: Floats
    upper: Floats

    def at(self, times: Floats | float, *, before: bool = False) -> Floats:
        """S at `times`; just before them if `before`."""
        place = np.searchsorted(self.time, np.atleast_1d(times), side="left" if before else "right")
        values: Floats = np.concatenate(([1.0], self.survival))[place]
        return values

    def limits_at(self, time: float) -> tuple[float, float]:
        """95 % limits of S at one time."""
        place = int(np.searchsorted(self.time, time, side="right")) - 1
        return (1.0, 1.0) if place < 0 else (float(self.lower[place]), float(self.upper[place]))


def kaplan_meier(time: Floats, event: Floats | Bools, *, level: float = 0.95) -> KaplanMeier:
    """Survival of one group. time (n,), event (n,) 0/1."""
    time, status = checked(time, event)
    time = equal_times(time)
    distinct, inverse = np.unique(time, return_inverse=True)
    leaving = np.bincount(inverse, minlength=len(distinct))
    deaths = np.bincount(inverse, status.astype(np.float64), len(distinct)).astype(np.int64)
    at_risk = len(time) - np.concatenate(([0], np.cumsum(leaving)[:-1]))
    survival = np.cumprod(1 - deaths / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(deaths / (at_risk * (at_risk - deaths).astype(np.float64)))
        wide = float(norm.ppf(0.5 + level / 2)) * np.sqrt(variance)
        lower = np.where(survival > 0, survival * np.exp(-wide), 0.0)
        upper = np.where(survival > 0, np.minimum(1.0, survival * np.exp(wide)), 0.0)
    return KaplanMeier(distinct, at_risk.astype(np.int64), deaths, survival, lower, upper)


def log_rank(time: Floats, event: Floats | Bools, group: Ints) -> tuple[float, float]:
    """(chi-square, p) of the difference between groups numbered 0..g-1. group (n,)."""
    time, status = checked(time, event)
    time = equal_times(time)
    labels, member = np.unique(group, return_inverse=True)
    distinct, moment = np.unique(time, return_inverse=True)
    shape = (len(distinct), len(labels))
    place = moment * len(labels) + member
    deaths = np.bincount(place, status.astype(np.float64), shape[0] * shape[1]).reshape(shape)
    leaving = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    at_risk = np.cumsum(leaving[::-1], axis=0)[::-1].astype(np.float64)
    seen = deaths.sum(axis=1) > 0
    at_risk, deaths = at_risk[seen], deaths[seen]
    n, d = at_risk.sum(axis=1), deaths.sum(axis=1)
    expected = at_risk * (d / n)[:, None]
    difference = (deaths - expected).sum(axis=0)[:-1]
    factor = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1) / n**2, 0.0)
    k = len(labels)
    V = np.zeros((k, k))
    for row, f, total in zip(at_risk, factor, n, strict=True):
        V += f * (np.diag(row * total) - np.outer(row, row))
    statistic = float(difference @ np.linalg.pinv(V[:-1, :-1]) @ difference)
    return statistic, float(chi2.sf(statistic, k - 1))
