"""The RiskAssessment (R4). probabilityDecimal is a percentage; the horizon is a whenPeriod, since whenRange is an age.

Only a complete assessment has a prediction. Every other state is a RiskAssessment without one that says why in `note`.
"""

import datetime as dt
from typing import Any, Final

from schemas.assessment import Assessment, AssessmentState, Risk
from schemas.fhir import systems
from schemas.fhir.parts import coding, range_of
from schemas.wording import (
    INFORMS,
    OUTCOME,
    RESEARCH_USE,
    STATES,
    input_text,
    interval,
    model_text,
    percent,
    study_day,
    used_and_other,
    years,
)

Json = dict[str, Any]
VERTEBRAL_FRACTURE: Final = "42942008"
_STATUS: Final[dict[AssessmentState, str]] = {"complete": "final", "withdrawn": "cancelled"}


def risk_assessment(
    assessment: Assessment, *, performer: Json, basis: list[Json], superseded_by: str | None = None
) -> Json:
    """The RiskAssessment of `assessment`; `superseded_by` as in schemas.fhir.results.resources_of."""
    extensions: list[Json] = [{"url": systems.ASSESSMENT_STATE, "valueCode": assessment.state.replace("_", "-")}]
    status = _STATUS.get(assessment.state, "preliminary")
    notes = notes_of(assessment)
    if assessment.replaced_by is not None:
        kept = {"reference": assessment.replaced_by}
        extensions.append({"url": systems.PATIENT_REPLACED_BY, "valueReference": kept})
    if superseded_by is not None:
        new = f"RiskAssessment/{superseded_by}"
        extensions.append({"url": systems.SUPERSEDED_BY, "valueReference": {"reference": new}})
        status = "amended"
        notes.insert(0, "Superseded: newer data led to a newer assessment; do not use this one.")
    moment = assessment.created.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "resourceType": "RiskAssessment",
        "id": assessment.id,
        "extension": extensions,
        "identifier": [
            {"system": systems.ASSESSMENT_KEY, "value": assessment.key},
            {"system": systems.ASSESSMENT_ID, "value": assessment.id},
        ],
        "status": status,
        "method": {
            "coding": [{**coding(systems.MODEL, assessment.model.id), "version": assessment.model.version}],
            "text": f"Risk model {model_text(assessment)}",
        },
        "code": {"text": f"Risk of {OUTCOME}"},
        "subject": {"reference": assessment.patient},
        "occurrenceDateTime": moment,
        "performer": performer,
        **({"basis": basis} if basis else {}),
        **({"prediction": [_prediction(assessment, assessment.risk)]} if assessment.risk else {}),
        "note": [{"text": text} for text in notes],
    }


def rationale_of(assessment: Assessment, risk: Risk) -> str:
    """The prediction in words: number, interval, every input with its date, model, and what the product is not."""
    used, other = used_and_other(assessment)
    told = "".join(
        f"{heading}: {'; '.join(input_text(row) for row in rows)}. "
        for heading, rows in (("Predicted from", used), ("Also considered" if used else "Considered", other))
        if rows
    )
    flags = "".join(f" {row.text}." for row in risk.flags)
    return (
        f"{years(risk.horizon_years)}-year risk of {OUTCOME}: {percent(risk.risk)} ({interval(risk)}). "
        f"{told}Model {model_text(assessment)} (SHA-256 {assessment.model.digest[:12]}), "
        f"{assessment.software}.{flags} {RESEARCH_USE} {INFORMS}"
    )


def notes_of(assessment: Assessment) -> list[str]:
    """State, reasons, what is missing, what was seen and did not count (never its value), and the research-use line."""
    said = [f"State: {STATES[assessment.state]}."]
    said.extend(f"{row.text} ({row.code})" for row in assessment.reasons)
    if assessment.missing:
        said.append(f"Missing: {', '.join(assessment.missing)}")
    if assessment.risk is None and assessment.inputs:
        said.append(f"Known: {'; '.join(input_text(row) for row in assessment.inputs)}")
    said.extend(_ignored(assessment))
    return [*said, f"{RESEARCH_USE} {INFORMS}"]


def _ignored(assessment: Assessment) -> list[str]:
    return [
        f"Not used: {row.about}{f' of {row.date.isoformat()}' if row.date else ''}: {row.text} ({row.code})"
        for row in assessment.ignored
    ]


def _prediction(assessment: Assessment, risk: Risk) -> Json:
    start = study_day(assessment) or assessment.created.astimezone(dt.UTC).date()
    low, high = round(100 * risk.lower, 2), round(100 * risk.upper, 2)
    shown = {"url": systems.PROBABILITY_INTERVAL, "valueRange": range_of(low, high, "%")}
    return {
        "outcome": {
            "coding": [coding(systems.SNOMED, VERTEBRAL_FRACTURE, "Compression fracture of vertebral column")],
            "text": f"{OUTCOME[0].upper()}{OUTCOME[1:]}",
        },
        "probabilityDecimal": round(100 * risk.risk, 2),
        "_probabilityDecimal": {"extension": [shown]},
        "qualitativeRisk": {
            "coding": [coding(systems.RISK_PROBABILITY, risk.risk_class, f"{risk.risk_class.capitalize()} likelihood")],
            "text": f"{risk.risk_class} (a display threshold, not a validated decision rule)",
        },
        "whenPeriod": {"start": start.isoformat(), "end": _later(start, risk.horizon_years).isoformat()},
        "rationale": rationale_of(assessment, risk),
    }


def _later(start: dt.date, horizon_years: float) -> dt.date:
    """`start` plus the horizon; whole years keep the day of the year (29 February becomes 28)."""
    if horizon_years == int(horizon_years):
        year = start.year + int(horizon_years)
        leap_day = (start.month, start.day) == (2, 29)
        return start.replace(year=year, day=28) if leap_day else start.replace(year=year)
    return start + dt.timedelta(days=round(365.25 * horizon_years))
