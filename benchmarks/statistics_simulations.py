"""Simulations behind docs/statistics.md: what the engine does when the truth is known."""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.errors import NoFit
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.current_status import fit_current_status
from vbq.cohort.survival.zph import proportional_hazards

PAIR = ("vbq", "t_score")
SPREAD = np.array([[0.73**2, -0.4 * 0.73 * 1.6], [-0.4 * 0.73 * 1.6, 1.6**2]])
"""Covariance of VBQ and T-score as published."""
HAZARD = 0.062
"""Yearly, at the mean: 5-year risk 27 %."""


@dataclass(frozen=True)
class Share:
    """A proportion of `of` replicates, with its Monte Carlo standard error."""

    value: float
    of: int

    def __str__(self) -> str:
        error = (self.value * (1 - self.value) / self.of) ** 0.5
        return f"{100 * self.value:.1f} % (± {100 * error:.1f}, {self.of} replicates)"


def people(rng: np.random.Generator, n: int, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariates (n, 2) centred, and times to the event (n,)."""
    X = rng.multivariate_normal([0.0, 0.0], SPREAD, n)
    return X, rng.exponential(1.0, n) / (HAZARD * np.exp(X @ beta))


def coverage(replicates: int, seed: int = 11) -> dict[str, Share]:
    """How often the 95 % interval of a predicted 5-year risk holds the true risk; n = 400, a woman at +1 SD of risk."""
    rng = np.random.default_rng(seed)
    beta = np.log([2.29, 0.70])
    x = np.array([[0.5, -1.0]])
    truth = float(np.exp(-5 * HAZARD * np.exp(x @ beta))[0])
    hits = {"Cox, limits on the log scale (R's default)": 0, "Cox, limits on the log-log scale": 0}
    hits["current status"] = 0
    for _ in range(replicates):
        X, T = people(rng, 400, beta)
        C = rng.uniform(2, 12, 400)
        fit = fit_cox(X, np.minimum(T, C), T <= C, PAIR)
        for name, scale in zip(list(hits)[:2], ("log", "log-log"), strict=True):
            curves = fit.survival(x, np.array([5.0]), scale=scale)
            hits[name] += bool(curves.lower[0, 0] <= truth <= curves.upper[0, 0])
        visit = 5 + rng.gamma(0.87, 1.61, 400)
        seen = fit_current_status(X, visit, visit >= T, PAIR).survival(x, np.array([5.0]))
        hits["current status"] += bool(seen.lower[0, 0] <= truth <= seen.upper[0, 0])
    return {name: Share(count / replicates, replicates) for name, count in hits.items()}


def type_one_error(replicates: int, seed: int = 12) -> dict[str, Share]:
    """How often the proportional-hazards test rejects at 5 % although hazards are proportional; n = 300."""
    rng = np.random.default_rng(seed)
    counts = {"vbq": 0, "t_score": 0, "GLOBAL": 0}
    for _ in range(replicates):
        X, T = people(rng, 300, np.log([2.29, 0.70]))
        C = rng.uniform(1, 15, 300)
        test = proportional_hazards(fit_cox(X, np.minimum(T, C), T <= C, PAIR)).as_dict()
        for name in counts:
            counts[name] += test[name] < 0.05
    return {name: Share(count / replicates, replicates) for name, count in counts.items()}


@dataclass(frozen=True)
class Recovery:
    """Geometric means of fitted hazard ratios and the mean 5-year risk at average covariates, over replicates."""

    truth: tuple[float, float]
    ratios: dict[str, tuple[float, float]]
    risk: dict[str, float]
    replicates: int


def visit_times(replicates: int, truth: tuple[float, float], n: int = 137, seed: int = 13) -> Recovery:
    """The same women analysed by true event times, by visit times taken for event times, and as current status."""
    rng = np.random.default_rng(seed)
    beta = np.log(truth)
    found: dict[str, list[np.ndarray]] = {"Cox, true times": [], "Cox, visit times": [], "current status": []}
    risks: dict[str, list[float]] = {name: [] for name in found}
    at_mean = np.zeros((1, 2))
    for _ in range(replicates):
        X, T = people(rng, n, beta)
        visit = np.clip(5 + rng.gamma(0.87, 1.61, n), 5, 12)
        event = visit >= T
        try:
            fits = {
                "Cox, true times": fit_cox(X, np.minimum(T, visit), event, PAIR),
                "Cox, visit times": fit_cox(X, visit, event, PAIR),
                "current status": fit_current_status(X, visit, event, PAIR),
            }
        except NoFit:
            continue
        for name, fit in fits.items():
            found[name].append(fit.coefficients)
            risks[name].append(1 - float(fit.survival(at_mean, np.array([5.0])).survival[0, 0]))
    ratios = {name: tuple(np.exp(np.mean(rows, axis=0)).tolist()) for name, rows in found.items()}
    mean_risk = {name: float(np.mean(rows)) for name, rows in risks.items()}
    return Recovery(truth, ratios, mean_risk, len(found["current status"]))
