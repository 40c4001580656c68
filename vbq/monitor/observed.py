"""What monitoring sees of a stored assessment: numbers and states. Whose it is stays behind."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.model import ModelArtefact

UNKNOWN = "not stated"


class Observed(NamedTuple):
    """One assessment. `inputs`: the model's inputs as numbers; `day`: of the images, else of the assessment."""

    day: dt.date
    state: str
    risk: float | None
    risk_class: str | None
    outside_training: bool
    inputs: dict[str, float]
    method: str | None
    scanner: str
    field_strength: str
    predictor: float | None


def observed(body: Mapping[str, Any], model: ModelArtefact) -> Observed:
    """The part of an assessment's stored JSON that monitoring reads."""
    measurement = body.get("measurement") or {}
    acquisition = measurement.get("acquisition") or {}
    wanted = {row.name for row in model.covariates} | {"vbq"}
    inputs = {
        row["name"]: float(row["value"])
        for row in body.get("inputs", [])
        if row["name"] in wanted and isinstance(row["value"], (int, float))
    }
    risk: Mapping[str, Any] | None = body.get("risk")
    tesla = acquisition.get("field_strength_t")
    maker = [word for word in (acquisition.get("manufacturer"), acquisition.get("model_name")) if word]
    return Observed(
        day=dt.date.fromisoformat(acquisition.get("study_date") or body["created"][:10]),
        state=body["state"],
        risk=risk["risk"] if risk else None,
        risk_class=risk["risk_class"] if risk else None,
        outside_training=any(row["code"] == "outside-training-range" for row in (risk or {}).get("flags", [])),
        inputs=inputs,
        method=measurement.get("method"),
        scanner=" ".join(maker) or UNKNOWN,
        field_strength=f"{tesla:g} T" if tesla else UNKNOWN,
        predictor=predictor(model, inputs) if risk else None,
    )


def predictor(model: ModelArtefact, inputs: Mapping[str, float]) -> float | None:
    """beta'(x - centre); None where an input is missing."""
    if any(row.name not in inputs for row in model.covariates):
        return None
    return sum(row.coefficient * (inputs[row.name] - row.centre) for row in model.covariates)
