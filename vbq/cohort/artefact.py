"""A fit as the artefact that `vbq model sign` takes and the services score with (schemas/model.py), and back."""

import datetime as dt
import platform
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from schemas.model import (
    PER_YEAR,
    Baseline,
    BaselinePoint,
    Covariate,
    ModelArtefact,
    Population,
    RiskThresholds,
    SourceAttribute,
    Span,
    TimeUnit,
    Training,
)
from vbq.cohort.data.dictionary import known, label_of
from vbq.cohort.fit import Fitted
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.current_status import CurrentStatusFit
from vbq.cohort.terms import KNOTS, Terms
from vbq.risk.published_attributes import NAMES

LONGEST_LIFE = 120.0
"""Years of follow-up that nobody has; longer times are in another unit."""
LONGEST_UNSTATED = 25.0
"""Longest follow-up that is believed to be in years where nobody says so."""
SHORTEST_STUDY = 1 / 12
"""Years; a whole cohort with less is in another unit than stated."""
AT_ZERO = 1e-12
"""Stands for an event at time zero in the artefact, whose times are positive."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a fit cannot know of itself."""

    id: str
    version: str
    source: str
    "what the training file is called"
    digest: str
    "SHA-256 of the training file"
    created: dt.date
    horizon_years: float
    outcome: str | None = None
    title: str | None = None
    expires: dt.date | None = None
    moderate: float = 0.15
    high: float = 0.30
    time_unit: TimeUnit | None = None
    """Of the times in the training file; None: not stated, taken to be years where that is plausible."""


def covariates_of(fitted: Fitted) -> tuple[list[Covariate], bool]:
    """The covariates, and whether all of them are inputs that the services can supply."""
    fit, X = fitted.fit, fitted.data.X
    columns = [known(name) for name in fitted.request.covariates]
    servable = all(column is not None and column.served is not None for column in columns)
    rows = []
    for j, (name, column) in enumerate(zip(fitted.request.covariates, columns, strict=True)):
        low, high = float(X[:, j].min()), float(X[:, j].max())
        span = Span(low=low, high=high)
        possible = span
        if column is not None and column.low is not None and column.high is not None:
            possible = Span(low=min(low, column.low), high=max(high, column.high))
        rows.append(
            Covariate(
                name=column.served if servable and column and column.served else name,
                label=label_of(name) if servable else name,
                unit=column.unit if servable and column else "",
                kind="binary" if np.isin(X[:, j], (0, 1)).all() else "continuous",
                centre=float(fit.centre[j]),
                training=span,
                physiological=possible,
                coefficient=float(fit.coefficients[j]),
                standard_error=float(fit.standard_errors[j]),
            )
        )
    return rows, servable


def baseline_record(fitted: Fitted, horizon: float) -> Baseline:
    """Steps at every event time (Cox), or a line through the origin (current status)."""
    fit = fitted.fit
    support = Span(low=0.0, high=fit.longest_time)
    if isinstance(fit, CoxFit):
        b = fit.baseline
        points = [
            BaselinePoint(
                time=max(float(t), AT_ZERO),
                cumulative_hazard=float(h),
                variance=float(v),
                mean=[float(value) for value in m],
            )
            for t, h, v, m in zip(b.time, b.hazard, b.variance, b.mean, strict=True)
        ]
        return Baseline(form="steps", points=points, support=support)
    return Baseline(form="linear", points=[folded_point(fit, min(horizon, fit.longest_time))], support=support)


def folded_point(fit: CurrentStatusFit, time: float) -> BaselinePoint:
    """The variance of intercept + b'z completed to a square, so that intercept and coefficients need no joint matrix.

    v/H0^2 = Vaa - Vab' Vbb^-1 Vab and m/H0 = -Vbb^-1 Vab give back Vaa + 2 z'Vab + z'Vbb z.
    """
    hazard = float(np.exp(fit.intercept)) * time
    joint = fit.joint_covariance
    bend = np.linalg.solve(joint[1:, 1:], joint[1:, 0])
    rest = max(0.0, float(joint[0, 0] - joint[0, 1:] @ bend))
    return BaselinePoint(
        time=time,
        cumulative_hazard=hazard,
        variance=rest * hazard**2,
        mean=[float(value) for value in -bend * hazard],
    )


def doubt_of_unit(longest: float, unit: TimeUnit | None) -> str | None:
    """Why follow-up of up to `longest` cannot be in `unit` (None: not stated, so years), or None."""
    if unit is None:
        if longest <= LONGEST_UNSTATED:
            return None
        return f"follow-up reaches {longest:g}, which is hardly years; say --time-unit (years, months or days)"
    in_years = longest / PER_YEAR[unit]
    if in_years > LONGEST_LIFE:
        return f"follow-up reaches {longest:g}, so times are not in {unit}; correct --time-unit"
    if in_years < SHORTEST_STUDY:
        return f"the longest follow-up is {longest:g}, so times are hardly in {unit}; correct --time-unit"
    return None


def why_not_servable(fitted: Fitted, inputs_known: bool, horizon: float, unit: TimeUnit | None) -> str | None:
    """The reason for which a risk must not be served from this fit, or None. `horizon` is in the fit's own unit."""
    fit = fitted.fit
    if fitted.looks_like_visits:
        return fitted.visits.sentence
    if (doubt := doubt_of_unit(fit.longest_time, unit)) is not None:
        return doubt
    if fitted.terms is not None:
        return "a covariate is bent by a spline, which the services cannot compute; fit it straight to serve it"
    if not inputs_known:
        return "a covariate is not in the data dictionary, so the services cannot supply it"
    if horizon > fit.longest_time:
        return f"the horizon of {horizon:g} {unit or 'years'} lies beyond the longest follow-up of {fit.longest_time:g}"
    if isinstance(fit, CoxFit) and float(fit.baseline.at(np.array([horizon]))[0][0]) == 0.0:
        return f"no event was seen up to the horizon of {horizon:g} {unit or 'years'}"
    return None


def to_artefact(fitted: Fitted, labels: Labels) -> ModelArtefact:
    """The model file of a fit."""
    fit, request = fitted.fit, fitted.request
    covariates, inputs_known = covariates_of(fitted)
    unit = labels.time_unit or "years"
    horizon = labels.horizon_years * PER_YEAR[unit]
    reason = why_not_servable(fitted, inputs_known, horizon, labels.time_unit)
    outcome = labels.outcome or label_of(request.event)
    how = (
        f"Cox regression, {request.ties} ties" if request.kind == "cox" else "current-status model (cloglog, log time)"
    )
    described = f"{labels.source}: {fit.n} rows, {fit.events} events. {how}."
    return ModelArtefact(
        id=labels.id,
        version=labels.version,
        title=labels.title or f"{outcome}: {', '.join(label_of(name) for name in request.covariates)}",
        kind=request.kind,
        status="fitted by an analyst, research use, not validated on other patients",
        outcome=outcome,
        time_unit=unit,
        horizon=horizon,
        covariates=covariates,
        covariance=[[float(value) for value in row] for row in fit.covariance],
        baseline=baseline_record(fitted, horizon),
        interval="log" if request.kind == "cox" else "log-log",
        population=Population(
            sex="female",
            menopause="post",
            description="Women after menopause, as the product's cohort rules demand; the cohort file is taken to hold "
            "nobody else",
        ),
        training=Training(description=described, n=fit.n, events=fit.events, data_digest=labels.digest),
        validation=validation_record(fitted),
        thresholds=RiskThresholds(moderate=labels.moderate, high=labels.high),
        software=software(),
        intended_use="Research: informs a clinician about the risk of vertebral fracture, does not replace judgement.",
        caution=f"Fitted to {fit.n} people with {fit.events} events and not validated on others.",
        source_attributes=attributes(fitted, described),
        created=labels.created,
        expires=labels.expires,
        servable=reason is None,
        servable_reason=reason,
    )


def validation_record(fitted: Fitted) -> dict[str, float | str | None]:
    """Figures of the fit, and what a later validation needs to repeat it."""
    terms = fitted.terms or Terms(fitted.request.covariates, {})
    record: dict[str, float | str | None] = {
        "fit.time": fitted.request.time,
        "fit.event": fitted.request.event,
        "fit.columns": ",".join(terms.columns),
        "fit.ties": fitted.request.ties,
        "fit.ridge": fitted.request.ridge,
        "concordance.apparent": fitted.concordance,
        "concordance.se": fitted.concordance_se,
        "sample_size": fitted.adequacy.sentence,
    }
    record |= {KNOTS + name: ",".join(map(repr, knots.tolist())) for name, knots in terms.knots.items()}
    return record | {f"ph_test.{name}": p for name, p in fitted.ph_test.items()}


def software() -> dict[str, str]:
    """What computed the numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("vbq-cds", "numpy", "scipy")}}


def attributes(fitted: Fitted, described: str) -> list[SourceAttribute]:
    """The 31 source attributes as far as a fit knows them; an analyst adds the rest before deployment."""
    from_fit = {
        "1.iii": "The probability of the outcome within the horizon, with a 95 % interval",
        "1.iv": "Prediction",
        "2.iv": "Informs; does not replace clinical management.",
        "4.i": "As the cohort file; rows with missing values were left out" if fitted.data.left_out else None,
        "4.iii": described,
        "6.i": "None",
        "7.i": f"Apparent concordance {fitted.concordance:.3f} (SE {fitted.concordance_se:.3f}); "
        f"{fitted.adequacy.sentence}",
    }
    return [SourceAttribute(number=number, name=name, value=from_fit.get(number)) for number, name in NAMES]
