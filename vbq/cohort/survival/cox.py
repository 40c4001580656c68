"""Cox regression as R's coxph: Efron or Breslow ties, Newton with step halving, a baseline of the same tie method."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import norm

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.baseline import BaselineHazard, Curves, IntervalScale, baseline_of, survival_curves
from vbq.cohort.survival.design import Standardised, quoted, standardise
from vbq.cohort.survival.likelihood import State, state_at
from vbq.cohort.survival.newton import (
    LARGE,
    LARGEST_ITERATIONS,
    TOLERANCE,
    VANISHED,
    Maximum,
    apart,
    maximise,
    singular,
    still_moving,
)
from vbq.cohort.survival.risksets import RiskSets, Ties, risk_sets

if TYPE_CHECKING:
    from vbq.cohort.survival.compiled import Rows, Rule

Engine = Literal["auto", "numpy", "compiled"]
COMPILED_FROM_ROWS = 5_000
"""Below this numpy is as quick as importing numba."""


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model. n rows, p covariates; coefficients are log hazard ratios per unit of each covariate."""

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    centre: Floats
    "(p,) covariate means; the baseline is for a person at these"
    log_likelihood: float
    log_likelihood_null: float
    iterations: int
    n: int
    events: int
    ties: Ties
    ridge: float
    sets: RiskSets = field(repr=False)
    design: Standardised = field(repr=False)
    longest_time: float
    warnings: tuple[str, ...] = ()
    pooled_baseline: BaselineHazard | None = field(default=None, repr=False)
    "set where fits of several imputations were brought together"

    @property
    def standard_errors(self) -> Floats:
        return np.sqrt(np.diag(self.covariance))

    @property
    def p_values(self) -> Floats:
        """Two-sided Wald tests (p,)."""
        p: Floats = 2 * norm.sf(np.abs(self.coefficients / self.standard_errors))
        return p

    @functools.cached_property
    def sorted_covariates(self) -> Floats:
        """(n, p) standardised covariates in the order of the risk sets."""
        return self.design.Z[self.sets.order]

    @functools.cached_property
    def state(self) -> State:
        return state_at(self.sets, self.sorted_covariates, self.coefficients * self.design.scale)

    @functools.cached_property
    def baseline(self) -> BaselineHazard:
        if self.pooled_baseline is not None:
            return self.pooled_baseline
        return baseline_of(self.sets, self.state, self.design.scale)

    def predictor(self, X: Floats) -> Floats:
        """Centred linear predictor (r,) of X (r, p)."""
        values: Floats = (np.asarray(X, dtype=np.float64) - self.centre) @ self.coefficients
        return values

    @functools.cached_property
    def fitted_predictor(self) -> Floats:
        """Linear predictor of the rows fitted (n,), in their original order."""
        values: Floats = self.design.Z @ (self.coefficients * self.design.scale)
        return values

    def survival(self, X: Floats, times: Floats, *, level: float = 0.95, scale: IntervalScale = "log") -> Curves:
        """Survival with limits of X (r, p) at times (t,). Raises NoFit beyond the longest follow-up."""
        times = np.asarray(times, dtype=np.float64)
        if (times > self.longest_time).any() or (times < 0).any():
            raise NoFit(
                f"a time asked for lies outside the follow-up of the cohort (0 to {self.longest_time:g}); "
                "the baseline is not known there, so ask for an earlier time"
            )
        centred = np.asarray(X, dtype=np.float64) - self.centre
        return survival_curves(
            self.baseline, centred, self.coefficients, self.covariance, times, level=level, scale=scale
        )

    @property
    def summary(self) -> str:
        """A table for people: hazard ratios with 95 % intervals."""
        rows = [f"Cox model, {self.ties} ties: n = {self.n}, events = {self.events}"]
        z = float(norm.ppf(0.975))
        for name, b, se, p in zip(self.names, self.coefficients, self.standard_errors, self.p_values, strict=True):
            low, high = np.exp(b - z * se), np.exp(b + z * se)
            rows.append(f"  {name:<20} HR {np.exp(b):8.3f} ({low:.3f} to {high:.3f})  p = {p:.3g}")
        return "\n".join([*rows, *(f"  note: {text}" for text in self.warnings)])


def compiled_problem(sets: RiskSets, Z: Floats, ridge: float) -> "tuple[Rows, Rule]":
    """The arguments of the compiled engine; Z (n, p) in sorted order."""
    from vbq.cohort.survival.compiled import Rows, Rule

    ends = np.append(sets.time[1:] != sets.time[:-1], True)
    gram = np.ascontiguousarray(Z.T @ Z / len(Z))
    rule = Rule(sets.ties == "efron", ridge, LARGEST_ITERATIONS, TOLERANCE, VANISHED, gram)
    return Rows(np.ascontiguousarray(Z), ends, sets.event), rule


def compiled_maximum(sets: RiskSets, Z: Floats, ridge: float) -> Maximum:
    """The compiled Newton with the numpy one's answers and refusals. Z (n, p) in sorted order."""
    from vbq.cohort.survival import compiled

    rows, rule = compiled_problem(sets, Z, ridge)
    copies = np.ones(sets.n, dtype=np.int64)
    status, beta, info, value, null, iterations, step = compiled.newton(rows, copies, rule)
    large = apart(Z, beta, LARGE)
    if status in (compiled.SINGULAR, compiled.RAN_AWAY) and large.any():
        return Maximum(beta, info, float(value), float(null), int(iterations), large)
    if status == compiled.SINGULAR:
        raise singular()
    if status != compiled.OK:
        raise NoFit("no maximum of the likelihood was reached; use fewer covariates, or fit with --ridge")
    return Maximum(beta, info, float(value), float(null), int(iterations), still_moving(Z, step))


def fit_cox(
    X: Floats,
    time: Floats,
    event: Floats | Bools,
    names: Sequence[str],
    *,
    ties: Ties = "efron",
    ridge: float = 0.0,
    engine: Engine = "auto",
) -> CoxFit:
    """Fit X (n, p) to time (n,) and event (n,) of 0/1.

    ridge: half the weight of the squared coefficients per standard deviation (0: maximum likelihood).
    Raises NoFit, in words, for data that do not determine the model: no events, constant or collinear columns,
    separation, negative times.
    """
    sets = risk_sets(np.asarray(time, dtype=np.float64), event, ties)
    design = standardise(X, names)
    if len(design.Z) != sets.n:
        raise NoFit(f"{len(design.Z)} rows of covariates for {sets.n} times")
    Z = design.Z[sets.order]
    compiled = engine == "compiled" or (engine == "auto" and sets.n >= COMPILED_FROM_ROWS)
    maximum = compiled_maximum(sets, Z, ridge) if compiled else maximise(sets, Z, ridge)
    if maximum.running.any():
        endless = [name for name, runs in zip(names, maximum.running, strict=True) if runs]
        raise NoFit(
            f"the coefficient of {quoted(endless)} grows without bound: the events are perfectly separated by it "
            "(every event lies on one side). Merge its categories, leave it out, or fit with --ridge to bound it"
        )
    # In a ridge fit the penalised information is inverted: Gray's (1992) first variance, a posterior covariance.
    information = maximum.information + ridge * np.eye(len(names))
    covariance = np.linalg.inv(information) / np.outer(design.scale, design.scale)
    events = int(sets.event.sum())
    return CoxFit(
        names=tuple(names),
        coefficients=maximum.beta / design.scale,
        covariance=(covariance + covariance.T) / 2,
        centre=design.centre,
        log_likelihood=maximum.log_likelihood,
        log_likelihood_null=maximum.log_likelihood_null,
        iterations=maximum.iterations,
        n=sets.n,
        events=events,
        ties=ties,
        ridge=ridge,
        sets=sets,
        design=design,
        longest_time=float(np.max(time)),
        warnings=cautions(sets, events, len(names)),
    )


def cautions(sets: RiskSets, events: int, p: int) -> tuple[str, ...]:
    """What an analyst should know of the data before believing the fit."""
    notes = []
    if events < 10 * p:
        notes.append(
            f"{events} event{'s' if events > 1 else ''} for {p} covariate{'s' if p > 1 else ''} "
            f"({events / p:.1f} per covariate): estimates are unstable and optimistic; "
            "use fewer covariates or collect more events"
        )
    at_zero = int((sets.time == 0).sum())
    if at_zero:
        notes.append(
            f"{at_zero} row{'s have' if at_zero > 1 else ' has'} a follow-up time of zero; they are kept as R keeps "
            "them, but check whether these people were followed at all"
        )
    if events == sets.n:
        notes.append("every row has an event (no censoring); check that 1 means event in the event column")
    return tuple(notes)
