"""Current-status data: each person is seen once, and all that is known is whether the event had happened by then.

With hazard exp(a + b'z) constant in time, P(event by t) = 1 - exp(-t exp(a + b'z)): a binomial model with complementary
log-log link and offset log(t), whose b are log hazard ratios. (Method: clinical method, "Event time looks like the
time of the final radiograph".) A Cox fit to visit times shrinks the ratios and has no events before the visit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.stats import chi2, norm

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.baseline import Curves
from vbq.cohort.survival.design import quoted, standardise
from vbq.cohort.survival.newton import RUNAWAY, apart, singular
from vbq.cohort.survival.risksets import checked

MOST = 60
TOLERANCE = 1e-12
FURTHEST = RUNAWAY / 3
"""A spread of the log hazard that is reached on the way to infinity only."""


@dataclass(frozen=True)
class CurrentStatusFit:
    """Coefficients are log hazard ratios per unit; `intercept` is log of the yearly hazard at the covariates' centre.

    covariance (1 + p, 1 + p) has the intercept first.
    """

    names: tuple[str, ...]
    intercept: float
    coefficients: Floats
    joint_covariance: Floats
    centre: Floats
    log_likelihood: float
    log_likelihood_null: float
    n: int
    events: int
    shortest_time: float
    longest_time: float
    iterations: int
    warnings: tuple[str, ...] = ()

    @property
    def covariance(self) -> Floats:
        """(p, p) of the coefficients."""
        return self.joint_covariance[1:, 1:]

    @property
    def standard_errors(self) -> Floats:
        return np.sqrt(np.diag(self.covariance))

    @property
    def p_values(self) -> Floats:
        p: Floats = 2 * norm.sf(np.abs(self.coefficients / self.standard_errors))
        return p

    def predictor(self, X: Floats) -> Floats:
        """Centred linear predictor (r,) of X (r, p)."""
        values: Floats = (np.asarray(X, dtype=np.float64) - self.centre) @ self.coefficients
        return values

    def survival(self, X: Floats, times: Floats, *, level: float = 0.95) -> Curves:
        """P(no event by t) (r, t), limits symmetric on the complementary log-log scale."""
        times = np.asarray(times, dtype=np.float64)
        if (times > self.longest_time).any() or (times < 0).any():
            raise NoFit(
                f"a time asked for lies outside the follow-up of the cohort (0 to {self.longest_time:g}); "
                "ask for an earlier time"
            )
        centred = np.asarray(X, dtype=np.float64) - self.centre
        design = np.column_stack([np.ones(len(centred)), centred])
        eta = self.intercept + centred @ self.coefficients
        error = np.sqrt(np.einsum("ij,jk,ik->i", design, self.joint_covariance, design))
        z = float(norm.ppf(0.5 + level / 2))
        middle, low, high = (np.exp(-np.outer(np.exp(eta + k * z * error), times)) for k in (0, 1, -1))
        return Curves(middle, low, high)

    @property
    def summary(self) -> str:
        """A table for people."""
        rows = [f"Current-status model (cloglog, offset log time): n = {self.n}, events = {self.events}"]
        z = float(norm.ppf(0.975))
        for name, b, se, p in zip(self.names, self.coefficients, self.standard_errors, self.p_values, strict=True):
            low, high = np.exp(b - z * se), np.exp(b + z * se)
            rows.append(f"  {name:<20} HR {np.exp(b):8.3f} ({low:.3f} to {high:.3f})  p = {p:.3g}")
        return "\n".join([*rows, *(f"  note: {text}" for text in self.warnings)])


def fit_current_status(
    X: Floats, time: Floats, event: Floats | Bools, names: Sequence[str], *, ridge: float = 0.0
) -> CurrentStatusFit:
    """Fisher scoring, as R's glm(event ~ x, binomial(cloglog), offset = log(time)). X (n, p), time (n,), event (n,).

    ridge penalises squared coefficients per standard deviation, never the intercept. Raises NoFit in words.
    """
    time, status = checked(np.asarray(time, dtype=np.float64), event)
    if (time == 0).any():
        raise NoFit(
            f"{int((time == 0).sum())} visits are at time zero, where the event cannot have happened yet; "
            "correct or exclude those rows"
        )
    events = int(status.sum())
    if events in (0, len(status)):
        raise NoFit("every row has the same outcome; a current-status model needs people with and without the event")
    design = standardise(X, names)
    y = status.astype(np.float64)
    Z = np.column_stack([np.ones(len(y)), design.Z])
    penalty = ridge * np.diag([0.0, *np.ones(len(names))])
    _, _, null, _ = _score(Z[:, :1], np.log(time), y, np.zeros((1, 1)))
    beta, information, value, iterations = _score(Z, np.log(time), y, penalty)
    running = apart(design.Z, beta[1:], FURTHEST)
    if running.any():
        endless = [name for name, runs in zip(names, running, strict=True) if runs]
        raise NoFit(
            f"the coefficient of {quoted(endless)} grows without bound: the events are perfectly separated by it. "
            "Merge its categories, leave it out, or fit with --ridge to bound it"
        )
    try:
        covariance = cho_solve(cho_factor(information), np.eye(len(beta)))
    except LinAlgError as error:
        raise singular() from error
    unit = np.diag(1 / np.concatenate(([1.0], design.scale)))
    warnings = []
    if events < 10 * len(names):
        s = "s" if events > 1 else ""
        warnings.append(
            f"{events} event{s} for {len(names)} covariates ({events / len(names):.1f} per covariate): estimates are "
            "unstable and optimistic; use fewer covariates or collect more events"
        )
    return CurrentStatusFit(
        names=tuple(names),
        intercept=float(beta[0]),
        coefficients=beta[1:] / design.scale,
        joint_covariance=unit @ covariance @ unit,
        centre=design.centre,
        log_likelihood=value,
        log_likelihood_null=null,
        n=len(y),
        events=events,
        shortest_time=float(time.min()),
        longest_time=float(time.max()),
        iterations=iterations,
        warnings=tuple(warnings),
    )


def proportionality(
    X: Floats, time: Floats, event: Floats | Bools, names: Sequence[str], fit: CurrentStatusFit
) -> dict[str, float | None]:
    """Likelihood-ratio tests that an effect changes with log time: p per covariate and GLOBAL; None where untestable.

    The counterpart of cox.zph for people seen once. Weak where visits lie close together.
    """
    log_time = np.log(time) - np.log(time).mean()

    def p_of(columns: Sequence[int]) -> float | None:
        wider = np.column_stack([X, *((X[:, j] - fit.centre[j]) * log_time for j in columns)])
        labels = [*names, *(f"{names[j]} x log time" for j in columns)]
        try:
            bent = fit_current_status(wider, time, event, labels)
        except NoFit:
            return None
        return float(chi2.sf(max(0.0, 2 * (bent.log_likelihood - fit.log_likelihood)), len(columns)))

    tests = {name: p_of([j]) for j, name in enumerate(names)}
    return {**tests, "GLOBAL": p_of(range(len(names)))}


def _log_likelihood(eta: Floats, y: Floats) -> float:
    hazard = np.exp(np.minimum(eta, 700.0))
    with np.errstate(divide="ignore"):
        happened = np.log(-np.expm1(-hazard))
    return float(np.where(y == 1, happened, -hazard).sum())


def _score(Z: Floats, offset: Floats, y: Floats, penalty: Floats) -> tuple[Floats, Floats, float, int]:
    """(beta, expected information, log-likelihood, iterations). Z (n, 1 + p) with the intercept first."""
    beta = np.zeros(Z.shape[1])
    rate = y.mean()
    beta[0] = np.log(-np.log1p(-rate)) - offset.mean()
    value = _log_likelihood(Z @ beta + offset, y)
    for iteration in range(1, MOST + 1):
        hazard = np.exp(np.clip(Z @ beta + offset, -700.0, 50.0))
        risk = -np.expm1(-hazard)
        slope = hazard * np.exp(-hazard)  # d risk / d eta
        variance = np.maximum(risk * np.exp(-hazard), 1e-300)
        gradient = Z.T @ (slope * (y - risk) / variance) - penalty @ beta
        information = (Z * (slope**2 / variance)[:, None]).T @ Z + penalty
        if (
            Z.shape[1] > 1 and apart(Z[:, 1:], beta[1:], FURTHEST).any()
        ):  # on the way to infinity; the caller says of what
            return beta, information, value, iteration
        try:
            step = cho_solve(cho_factor(information), gradient)
        except (LinAlgError, ValueError) as error:
            raise singular() from error
        scale = 1.0
        while True:
            candidate = beta + scale * step
            reached = _log_likelihood(Z @ candidate + offset, y)
            gain = reached - value - 0.5 * float(candidate @ penalty @ candidate - beta @ penalty @ beta)
            if np.isfinite(reached) and gain >= -1e-9 * abs(value):
                break
            scale /= 2
            if scale < 1e-9:
                raise NoFit("the likelihood has no maximum within reach; use fewer covariates, or fit with --ridge")
        beta, value = candidate, reached
        if abs(gain) <= TOLERANCE * (abs(value) + 1) and np.abs(scale * step).max() < 1e-7:
            return beta, information, value, iteration
    raise NoFit("no maximum was reached; the events may be separated: use fewer covariates, or fit with --ridge")
