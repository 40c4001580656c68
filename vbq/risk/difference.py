"""What differs between two models: fields, coefficients, and above all what they say of the same person."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from schemas.errors import ModelRefused
from schemas.model import Covariate, ModelArtefact, Span
from vbq.risk.score import Stated, predict

SEPARATE = frozenset({"covariates", "covariance", "baseline", "validation", "source_attributes", "software"})


def difference(first: ModelArtefact, second: ModelArtefact) -> dict[str, Any]:
    """Old and new of every field that differs, coefficients in units of the old standard error, risks side by side."""
    old, new = first.model_dump(mode="json"), second.model_dump(mode="json")
    return {
        "same": old == new,
        "fields": {
            name: {"old": old[name], "new": new[name]}
            for name in old
            if name not in SEPARATE and old[name] != new[name]
        },
        "covariates": _covariates(first, second),
        "baseline": _baseline(first, second),
        "risks": risks(first, second),
        **{name: _entries(old[name], new[name]) for name in ("validation", "software")},
        "source_attributes": _entries(_by_number(first), _by_number(second)),
    }


def _covariates(first: ModelArtefact, second: ModelArtefact) -> dict[str, Any]:
    before, after = ({row.name: row for row in model.covariates} for model in (first, second))
    changed = {}
    for name in before.keys() & after.keys():
        a, b = before[name], after[name]
        if a == b:
            continue
        gap = b.coefficient - a.coefficient
        changed[name] = {
            "fields": _entries(a.model_dump(mode="json"), b.model_dump(mode="json")),
            "hazard_ratio": {"old": math.exp(a.coefficient), "new": math.exp(b.coefficient)},
            "change_in_se": gap / a.standard_error if a.standard_error else None,
        }
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": {name: changed[name] for name in sorted(changed)},
    }


def _baseline(first: ModelArtefact, second: ModelArtefact) -> dict[str, Any]:
    return {
        "same": first.baseline == second.baseline,
        "old": {"form": first.baseline.form, "points": len(first.baseline.points)},
        "new": {"form": second.baseline.form, "points": len(second.baseline.points)},
    }


def risks(first: ModelArtefact, second: ModelArtefact, horizon: float | None = None) -> list[dict[str, Any]]:
    """Both risks at low, central and high values of every predictor of either; those that neither refuses."""
    rows = {row.name: row for model in (second, first) for row in model.covariates}
    if len(rows) > 4 or any(row.unit != rows[row.name].unit for row in second.covariates):
        return []
    found = []
    for values in itertools.product(*(_points(row) for row in rows.values())):
        inputs = {name: Stated(value, rows[name].unit) for name, value in zip(rows, values, strict=True)}
        at = horizon or first.horizon_years
        try:
            old, new = predict(first, inputs, at), predict(second, inputs, at)
        except ModelRefused:
            continue
        found.append(
            {
                "inputs": dict(zip(rows, values, strict=True)),
                "old": old.risk,
                "new": new.risk,
                "difference": new.risk - old.risk,
            }
        )
    return found


def _points(row: Covariate) -> tuple[float, ...]:
    if row.kind == "binary":
        return (0.0, 1.0)
    span: Span = row.training or row.physiological
    return (span.low, row.centre, span.high) if span.low < row.centre < span.high else (span.low, span.high)


def _entries(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    names = [*old, *(name for name in new if name not in old)]
    return {name: {"old": old.get(name), "new": new.get(name)} for name in names if old.get(name) != new.get(name)}


def _by_number(model: ModelArtefact) -> dict[str, str | None]:
    return {row.number: row.value for row in model.source_attributes}
