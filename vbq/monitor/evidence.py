"""What a model's file keeps of its data: curves for its card, distributions for monitoring. No person."""

import numpy as np

from schemas.model import ModelArtefact, SourceAttribute
from vbq.cohort.roc import roc
from vbq.cohort.validation.people import People
from vbq.cohort.validation.report import Validation
from vbq.monitor.drift import Reference, reference_of
from vbq.risk.artefact import digest

Values = dict[str, float | str | list[float] | None]
MOST_POINTS = 60
MEASURES = ("concordance", "slope", "brier", "ipa")


def with_evidence(model: ModelArtefact, found: Validation, data: bytes, source: str) -> ModelArtefact:
    """The model, unsigned, with the figures of one validation in place of an earlier one of the same kind."""
    kind = str(found.document["kind"])
    kept = {name: value for name, value in model.validation.items() if not name.startswith(f"{kind}.")}
    figures: Values = {
        f"{kind}.data_digest": digest(data),
        f"{kind}.n": float(found.people.data.n),
        f"{kind}.events": float(found.people.event.sum()),
        **_measures(kind, found),
        **_calibration(kind, found),
        **_roc(kind, found.people),
    }
    if kind == "internal":
        figures |= _references(model, found.people)
    sentence = _sentence(kind, figures, source)
    number = "7.i" if kind == "internal" else "7.iii"
    attributes = [_filled(row, number, sentence) for row in model.source_attributes]
    return model.but(validation={**kept, **figures}, source_attributes=attributes)


def _measures(kind: str, found: Validation) -> Values:
    values: Values = {}
    for name in MEASURES:
        row = found.document.get(name)
        if isinstance(row, dict):
            values |= {f"{kind}.{name}.{key}": float(value) for key, value in row.items() if value is not None}
    return values


def _calibration(kind: str, found: Validation) -> Values:
    curve = found.calibration
    some = _thinned(len(curve.predicted_curve))
    return {
        **{f"{kind}.calibration.{name}": value for name, value in curve.as_dict().items()},
        f"{kind}.calibration.predicted": _short(curve.predicted_curve[some]),
        f"{kind}.calibration.observed": _short(curve.observed_curve[some]),
    }


def _roc(kind: str, people: People) -> Values:
    """Of having the event by the horizon; who was lost before it is left out, and the file says how many."""
    known = np.ones(people.data.n, dtype=np.bool_)
    event = people.event
    if people.horizon is not None:
        known = (people.event & (people.time <= people.horizon)) | (people.time > people.horizon)
        event = people.event & (people.time <= people.horizon)
    if event[known].all() or not event[known].any():
        return {}
    curve = roc(people.predictor[known], event[known])
    some = _thinned(len(curve.false_positive_rate))
    return {
        f"{kind}.roc.auc": curve.area.auc,
        f"{kind}.roc.lower": curve.area.lower,
        f"{kind}.roc.upper": curve.area.upper,
        f"{kind}.roc.left_out": float((~known).sum()),
        f"{kind}.roc.false_positive": _short(curve.false_positive_rate[some]),
        f"{kind}.roc.true_positive": _short(curve.true_positive_rate[some]),
    }


def _references(model: ModelArtefact, people: People) -> Values:
    values: Values = {}
    rows = [(row.name, people.data.X[:, j]) for j, row in enumerate(model.covariates) if row.kind == "continuous"]
    if people.horizon == model.horizon:
        rows.append(("risk", people.risk))
    for name, column in rows:
        found: Reference | None = reference_of([float(value) for value in column], "training data")
        if found is not None:
            values[f"reference.{name}.edges"] = list(found.edges)
            values[f"reference.{name}.shares"] = list(found.shares)
    return values


def _sentence(kind: str, figures: Values, source: str) -> str:
    parts = [f"{source}: {figures[f'{kind}.n']:g} people, {figures[f'{kind}.events']:g} with the event"]
    for name, label in (
        (f"{kind}.concordance.corrected", "concordance"),
        (f"{kind}.slope.corrected", "calibration slope"),
        (f"{kind}.calibration.ici", "ICI"),
        (f"{kind}.roc.auc", "AUC"),
    ):
        value = figures.get(name)
        if isinstance(value, float):
            parts.append(f"{label} {value:.3f}")
    return "; ".join(parts)


def _filled(row: SourceAttribute, number: str, sentence: str) -> SourceAttribute:
    return row.but(value=sentence) if row.number == number else row


def _thinned(n: int) -> "np.typing.NDArray[np.intp]":
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.intp))


def _short(values: "np.typing.NDArray[np.float64]") -> list[float]:
    return [float(f"{value:.4g}") for value in values]
