"""Concordance, slope, Brier score and IPA of fixed predictions, with intervals by resampling people."""

from collections.abc import Sequence

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.roc import auc
from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.current_status import fit_current_status
from vbq.cohort.validation.accuracy import brier, censoring_weights, ipa, null_brier
from vbq.cohort.validation.optimism import Tick, unheard
from vbq.cohort.validation.people import People

NAMES = ("concordance", "slope", "brier", "ipa")
FEWEST = 20
"""Resamples that limits want."""


def measures_of(people: People) -> dict[str, float]:
    """The four measures. Raises NoFit where the people do not determine one."""
    if people.horizon is None:
        y = people.event.astype(np.float64)
        c = auc(people.predictor, people.event).auc
        slope = fit_current_status(people.predictor[:, None], people.time, people.event, ["predictor"])
        score = float(((y - people.risk) ** 2).mean())
        null = float(((y - y.mean()) ** 2).mean())
    else:
        c = concordance(people.predictor, people.time, people.event).c
        slope_fit = fit_cox(people.predictor[:, None], people.time, people.event, ["predictor"])
        weights = censoring_weights(people.time, people.event, people.horizon)
        score = brier(people.risk, people.time, people.event, people.horizon, weights)
        null = null_brier(people.time, people.event, people.horizon, weights)
        return dict(zip(NAMES, (c, float(slope_fit.coefficients[0]), score, ipa(score, null)), strict=True))
    return dict(zip(NAMES, (c, float(slope.coefficients[0]), score, ipa(score, null)), strict=True))


def resampled(people: People, replicates: int, seed: int, *, tick: Tick = unheard) -> list[dict[str, float]]:
    """Measures of `replicates` resamples of the people; resamples without an answer are left out."""
    rng = np.random.default_rng(seed)
    n = people.data.n
    found = []
    for _ in range(replicates):
        tick(1)
        try:
            found.append(measures_of(people.rows(rng.integers(0, n, n))))
        except NoFit:
            continue
    return found


def intervals(samples: Sequence[dict[str, float]], asked: int) -> dict[str, tuple[float, float]]:
    """2.5 and 97.5 % points of each measure, of `asked` resamples those that have an answer. Raises NoFit."""
    if asked < FEWEST:
        raise NoFit(f"{asked} resamples are too few for limits; ask for at least {FEWEST} with --bootstrap")
    if len(samples) < FEWEST:
        raise NoFit(f"{len(samples)} of {asked} resamples have an answer; the file has too few events for limits")
    return {name: _points([row[name] for row in samples]) for name in samples[0]}


def _points(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def compare(first: People, second: People, replicates: int, seed: int) -> dict[str, dict[str, float]]:
    """Second minus first model on the same people: delta C, delta IPA and delta Brier with bootstrap intervals."""
    if first.data.n != second.data.n or not np.array_equal(first.time, second.time):
        raise NoFit("the two models see different people (missing covariates); compare them on complete rows")
    before, after = measures_of(first), measures_of(second)
    rng = np.random.default_rng(seed)
    n = first.data.n
    gaps: list[dict[str, float]] = []
    for _ in range(replicates):
        rows = rng.integers(0, n, n)
        try:
            a, b = measures_of(first.rows(rows)), measures_of(second.rows(rows))
        except NoFit:
            continue
        gaps.append({name: b[name] - a[name] for name in NAMES})
    limits = intervals(gaps, replicates)
    return {
        f"delta_{name}": {
            "first": before[name],
            "second": after[name],
            "difference": after[name] - before[name],
            "lower": limits[name][0],
            "upper": limits[name][1],
        }
        for name in ("concordance", "ipa", "brier")
    }


def spread_of(values: Floats) -> dict[str, float]:
    """Mean, SD and quartiles, for the distribution of predicted risks."""
    q = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
    names = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")
    return {"mean": float(values.mean()), "sd": float(values.std()), **dict(zip(names, map(float, q), strict=True))}
