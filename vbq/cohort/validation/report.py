"""Everything that `vbq model validate` says of a model on a file."""

from dataclasses import dataclass

import numpy as np

from schemas.model import ModelArtefact
from vbq.cohort.data.table import Table
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Data, Request, fit_data
from vbq.cohort.roc import auc
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.influence import dfbeta
from vbq.cohort.survival.risksets import Ties
from vbq.cohort.validation.accuracy import time_dependent_auc
from vbq.cohort.validation.calibration import Calibration, calibrate_survival, calibrate_visits
from vbq.cohort.validation.decision import DecisionCurve, decision_curve
from vbq.cohort.validation.measures import NAMES, intervals, measures_of, resampled, spread_of
from vbq.cohort.validation.optimism import Optimism, Tick, cox_optimism, current_status_optimism, unheard
from vbq.cohort.validation.people import People, outcome_columns, people_of
from vbq.cohort.validation.subgroups import groups_of, subgroup_rows
from vbq.cohort.visit_times import look_for_visit_times

LARGE_CHANGE = 0.2
"""A change of a coefficient by leaving out one row, in its standard errors, worth naming."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of a validation."""

    time: str | None = None
    event: str | None = None
    horizon: float | None = None
    replicates: int = 500
    seed: int = 1
    tick: Tick = unheard
    "told of every resample that is done"


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found; `document` is the JSON."""

    people: People
    calibration: Calibration
    decision: DecisionCurve
    document: dict[str, object]
    warnings: tuple[str, ...]


def refit_request(model: ModelArtefact, asked: Asked) -> Request:
    """The request that made the model, so that a bootstrap can repeat it."""
    time, event = outcome_columns(model, asked.time, asked.event)
    ties: Ties = "breslow" if model.validation.get("fit.ties") == "breslow" else "efron"
    ridge = model.validation.get("fit.ridge")
    return Request(
        time,
        event,
        tuple(covariate.name for covariate in model.covariates),
        "cox" if model.kind == "cox" else "current-status",
        ties,
        float(ridge) if isinstance(ridge, (int, float)) else 0.0,
        exact_times=True,
    )


def same_people(model: ModelArtefact, digest: str | None) -> bool:
    """Whether the file is the one that the model was fitted to."""
    return model.training.data_digest is not None and model.training.data_digest == digest


def validate(model: ModelArtefact, table: Table, asked: Asked, digest: str | None = None) -> Validation:
    """Internal validation (the training file: bootstrap optimism) or external (any other file: fixed predictions)."""
    people = people_of(model, table, time=asked.time, event=asked.event, horizon=asked.horizon)
    internal = same_people(model, digest)
    document: dict[str, object] = {
        "model": model.id,
        "version": model.version,
        "kind": "internal" if internal else "external",
        "n": people.data.n,
        "events": int(people.event.sum()),
        "horizon": people.horizon,
        "outcome": "event by the horizon" if people.horizon is not None else "event found at the visit",
    }
    warnings = [people.data.left_out] if people.data.left_out else []
    if model.kind == "cox" and look_for_visit_times(people.time, people.event).recognised:
        warnings.append(look_for_visit_times(people.time, people.event).sentence)
    if internal:
        document |= _internal(model, people, asked)
    else:
        warnings.append("external validation: predictions are fixed, so there is no optimism to correct")
        document |= _external(people, asked)
    calibration = (
        calibrate_visits(people.risk, people.time, people.event)
        if people.horizon is None
        else calibrate_survival(people.risk, people.time, people.event, people.horizon)
    )
    curve = decision_curve(people.risk, people.time, people.event, people.horizon)
    document |= {
        "calibration": calibration.as_dict(),
        "auc": _areas(people),
        "decision_curve": curve.as_dict(),
        "predicted_risk": spread_of(people.risk),
        "subgroups": subgroup_rows(people, groups_of(table, people.data.kept)),
        "warnings": warnings,
    }
    return Validation(people, calibration, curve, document, tuple(warnings))


def _internal(model: ModelArtefact, people: People, asked: Asked) -> dict[str, object]:
    fitted = fit_data(people.data, refit_request(model, asked))
    drift = max(
        abs(float(b) - covariate.coefficient)
        for b, covariate in zip(fitted.fit.coefficients, model.covariates, strict=True)
    )
    if drift > 1e-6 * max(1.0, *(abs(covariate.coefficient) for covariate in model.covariates)):
        raise NoFit(
            "refitting the model to its training file gives other coefficients; it was made with other settings "
            "or rows, so the bootstrap would validate another model. Fit it again and validate that file"
        )
    optimism: Optimism
    extra: dict[str, object] = {"ph_test": fitted.ph_test}
    if isinstance(fitted.fit, CoxFit):
        if people.horizon is None:
            raise NoFit("a Cox model needs a horizon for its validation; give --horizon")
        optimism = cox_optimism(fitted.fit, people.horizon, asked.replicates, asked.seed, tick=asked.tick)
        extra["influence"] = influential(fitted.fit, people.data)
    else:
        at = people.horizon or model.horizon
        optimism = current_status_optimism(fitted.fit, people.data, at, asked.replicates, asked.seed, tick=asked.tick)
    return {
        **optimism.as_dict(),
        "replicates": {"asked": asked.replicates, "used": optimism.replicates, "without_solution": optimism.failed},
        **extra,
    }


def _external(people: People, asked: Asked) -> dict[str, object]:
    found = measures_of(people)
    rows: dict[str, object] = {}
    samples = resampled(people, asked.replicates, asked.seed, tick=asked.tick) if asked.replicates else []
    limits = intervals(samples, asked.replicates) if asked.replicates else None
    for name in NAMES:
        rows[name] = {
            "apparent": found[name],
            "corrected": found[name],
            **({"lower": limits[name][0], "upper": limits[name][1]} if limits else {}),
        }
    return {**rows, "replicates": {"asked": asked.replicates, "used": len(samples)}}


def _areas(people: People) -> list[dict[str, float | None]]:
    if people.horizon is None:
        whole = auc(people.predictor, people.event)
        return [{"time": None, "auc": whole.auc, "lower": whole.lower, "upper": whole.upper}]
    events = people.time[people.event]
    moments = sorted({people.horizon, *(float(t) for t in np.quantile(events, [0.25, 0.5, 0.75]))})
    rows: list[dict[str, float | None]] = []
    for moment in moments:
        try:
            rows.append(
                {"time": moment, "auc": time_dependent_auc(people.predictor, people.time, people.event, moment)}
            )
        except NoFit:  # the last event may be the last person
            continue
    return rows


def influential(fit: CoxFit, data: Data) -> list[dict[str, object]]:
    """Rows that move a coefficient by more than a fifth of its standard error, strongest first, by row number alone."""
    changes = dfbeta(fit) / fit.standard_errors
    original = np.flatnonzero(data.kept)
    rows = []
    for i, j in zip(*np.nonzero(np.abs(changes) > LARGE_CHANGE), strict=True):
        rows.append({"row": int(original[i]), "covariate": fit.names[j], "change_in_se": float(changes[i, j])})
    return sorted(rows, key=lambda row: -abs(float(str(row["change_in_se"]))))[:20]
