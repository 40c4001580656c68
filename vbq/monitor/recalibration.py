"""Local recalibration: the model's linear predictor is kept, its level (intercept) and spread (slope) are fitted again.

log H(t | x) = a + b lp(x) + log H0(t), fitted to local outcomes: a Poisson regression with offset log H0(t) where the
time of the event is known (Crowson, Atkinson, Therneau 2016), a binomial one with complementary log-log link where it
was found at a visit. a = 0 and b = 1 mean that the model fits here as it stands.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.errors import ModelRefused
from schemas.model import PER_YEAR, BaselinePoint, ModelArtefact, SourceAttribute

Floats = npt.NDArray[np.float64]
Times = Literal["visit", "exact"]
FEWEST_EVENTS = {"intercept": 10, "slope": 20}
MOST_STEPS = 50
SAME = 1e-9
Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n people: linear predictor, years of follow-up, whether the event happened."""

    predictor: Floats
    years: Floats
    event: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recalibration:
    """a and b with their covariance; `expected` events under the model as it stands."""

    intercept: float
    slope: float
    covariance: Floats
    n: int
    events: int
    expected: float
    times: Times

    @property
    def observed_to_expected_interval(self) -> tuple[float, float]:
        """Poisson interval on the log scale, exact enough for the events that a recalibration wants."""
        ratio = self.events / self.expected
        wide = float(np.exp(Z / np.sqrt(self.events))) if self.events else float("inf")
        return ratio / wide, ratio * wide

    @property
    def intercept_interval(self) -> tuple[float, float]:
        return _around(self.intercept, float(self.covariance[0, 0]))

    @property
    def slope_interval(self) -> tuple[float, float]:
        """Both ends are the slope itself where it was not fitted."""
        return _around(self.slope, float(self.covariance[1, 1]))

    def as_dict(self) -> dict[str, float | int | str | list[float]]:
        """Figures for reports."""
        return {
            "n": self.n,
            "events": self.events,
            "expected": self.expected,
            "observed_to_expected": self.events / self.expected,
            "observed_to_expected_interval": list(self.observed_to_expected_interval),
            "intercept": self.intercept,
            "intercept_interval": list(self.intercept_interval),
            "slope": self.slope,
            "slope_interval": list(self.slope_interval),
            "times": self.times,
        }


def _around(value: float, variance: float) -> tuple[float, float]:
    wide = Z * float(np.sqrt(variance))
    return value - wide, value + wide


def cumulative_hazard(model: ModelArtefact, years: Floats) -> Floats:
    """H0 at each time. Between and beyond known times the hazard is taken as constant from zero to the nearest one."""
    points = sorted(model.baseline.points, key=lambda point: point.time)
    times = np.array([point.time for point in points]) / PER_YEAR[model.time_unit]
    hazards = np.array([point.cumulative_hazard for point in points])
    if model.baseline.form == "steps":
        place = np.searchsorted(times, years, side="right") - 1
        known = hazards[np.maximum(place, 0)]
        first = hazards[0] * years / times[0]
        return np.where(place < 0, first, known)
    nearest = np.abs(times[None, :] - years[:, None]).argmin(axis=1)
    found: Floats = hazards[nearest] * years / times[nearest]
    return found


def fit(model: ModelArtefact, people: Outcomes, times: Times, *, slope: bool) -> Recalibration:
    """Raises ModelRefused where the outcomes are too few to say anything."""
    events, n = int(people.event.sum()), len(people.event)
    needed = FEWEST_EVENTS["slope" if slope else "intercept"]
    if min(events, n - events) < needed:
        raise ModelRefused(
            f"{events} of {n} people had the event; this wants at least {needed} with and {needed} without: "
            "wait for more outcomes" + (", or fit the intercept alone (--intercept-only)" if slope else ""),
            code="too-few-outcomes",
        )
    if not (people.years > 0).all():
        raise ModelRefused("a follow-up of zero or less cannot be used; check the dates", code="outcome-times")
    if slope and float(np.ptp(people.predictor)) < SAME:
        raise ModelRefused(
            "the model gives everybody the same risk, so a slope cannot be fitted; fit the intercept alone",
            code="same-risk",
        )
    offset = np.log(cumulative_hazard(model, people.years))
    X = np.column_stack([np.ones(n), people.predictor]) if slope else np.ones((n, 1))
    fixed = offset if slope else offset + people.predictor
    hazard = np.exp(offset + people.predictor)
    expected = float((hazard if times == "exact" else -np.expm1(-hazard)).sum())
    theta = np.array([np.log(events / expected), 1.0][: X.shape[1]])
    theta, information = _newton(X, fixed, people.event.astype(np.float64), theta, times)
    covariance = np.zeros((2, 2))
    covariance[: X.shape[1], : X.shape[1]] = np.linalg.inv(information)
    return Recalibration(float(theta[0]), float(theta[1]) if slope else 1.0, covariance, n, events, expected, times)


def _newton(X: Floats, fixed: Floats, y: Floats, theta: Floats, times: Times) -> tuple[Floats, Floats]:
    """Fisher scoring with halving; the estimate and its information."""
    level, score, information = _likelihood(X, fixed, y, theta, times)
    for _ in range(MOST_STEPS):
        step = np.linalg.solve(information, score)
        for _ in range(MOST_STEPS):
            found = _likelihood(X, fixed, y, theta + step, times)
            if found[0] >= level - 1e-12:
                break
            step = step / 2
        theta = theta + step
        level, score, information = found
        if float(np.abs(step).max()) < 1e-10:
            return theta, information
    raise ModelRefused(
        "the recalibration does not settle: the predictor separates the outcomes; look at the outcomes file",
        code="no-solution",
    )


def _likelihood(X: Floats, fixed: Floats, y: Floats, theta: Floats, times: Times) -> tuple[float, Floats, Floats]:
    """Log-likelihood, score and expected information."""
    eta = np.clip(X @ theta + fixed, -50.0, 20.0)
    hazard = np.exp(eta)
    if times == "exact":
        return float((y * eta - hazard).sum()), X.T @ (y - hazard), (X * hazard[:, None]).T @ X
    p = np.clip(-np.expm1(-hazard), 1e-15, 1.0)
    level = float((y * np.log(p) - (1 - y) * hazard).sum())
    weight = hazard**2 * np.exp(-hazard) / p  # (dp/deta)^2 / (p (1 - p))
    return level, X.T @ (y * hazard * np.exp(-hazard) / p - (1 - y) * hazard), (X * weight[:, None]).T @ X


@dataclass(frozen=True, slots=True)
class Told:
    """What a recalibration cannot know of itself."""

    version: str
    source: str
    digest: str
    "SHA-256 of the model that is recalibrated"
    created: dt.date
    data_digest: str | None = None
    "SHA-256 of the file of outcomes"


def recalibrated(model: ModelArtefact, found: Recalibration, told: Told) -> ModelArtefact:
    """The model with a and b in it, unsigned. Its interval carries the uncertainty of a and b and, scaled, of beta.

    var log H = var(a + b lp) + b^2 d'Vd is a quadratic form in z; completing its square gives V, m and v of the file.
    """
    b, beta = found.slope, np.array([row.coefficient for row in model.covariates])
    var_b = float(found.covariance[1, 1])
    S = b * b * np.array(model.covariance) + var_b * np.outer(beta, beta)
    points = [_moved(point, found, np.array(model.covariance), S, beta) for point in model.baseline.points]
    rows = [
        row.but(coefficient=float(b * row.coefficient), standard_error=float(np.sqrt(max(S[j, j], 0.0))))
        for j, row in enumerate(model.covariates)
    ]
    what = "intercept and slope" if var_b > 0 else "intercept"
    figures = found.as_dict()
    sentence = (
        f"Recalibrated ({what}) to {found.n} local people with {found.events} events from {told.source}; before: "
        f"observed to expected {found.events / found.expected:.2f}"
    )
    return model.but(
        version=told.version,
        status=f"{model.status}; recalibrated locally ({what}), research use",
        covariates=rows,
        covariance=[[float(value) for value in row] for row in S],
        baseline=model.baseline.but(points=points),
        training=model.training.but(description=f"{model.training.description} {sentence}."),
        validation={
            **{name: value for name, value in model.validation.items() if not name.startswith(("reference.risk",))},
            "recalibration.of": told.digest,
            "recalibration.data_digest": told.data_digest,
            **{f"recalibration.{name}": value for name, value in figures.items()},
        },
        caution=f"{model.caution} {sentence}.",
        source_attributes=[_with_local(row, sentence) for row in model.source_attributes],
        created=told.created,
    )


def _moved(point: BaselinePoint, found: Recalibration, V: Floats, S: Floats, beta: Floats) -> BaselinePoint:
    hazard = point.cumulative_hazard * float(np.exp(found.intercept))
    if hazard == 0.0:
        return point
    (var_a, cov), b = found.covariance[0], found.slope
    mu = np.array(point.mean) / point.cumulative_hazard
    linear = cov * beta - b * b * (V @ mu)
    centre = -np.linalg.lstsq(S, linear, rcond=None)[0]
    rest = max(0.0, float(var_a) + b * b * float(mu @ V @ mu) - float(centre @ S @ centre))
    return point.but(
        cumulative_hazard=hazard,
        variance=rest * hazard * hazard,
        mean=[float(value) for value in centre * hazard],
    )


def _with_local(row: SourceAttribute, sentence: str) -> SourceAttribute:
    return row.but(value=sentence) if row.number == "8.ii" else row
