"""How values are put into words, the same in a RiskAssessment's rationale, on a card and in a note."""

import datetime as dt
from typing import Final

from schemas.assessment import Assessment, Risk
from schemas.clinical import ClinicalInput

RESEARCH_USE: Final = "Research use: not a cleared medical device."
INFORMS: Final = "It informs and does not replace clinical judgement."
OUTCOME: Final = "a new or worsened vertebral fracture"

_UNITS: Final = {
    "1": "",
    "": "",
    "{T-score}": "",
    "{score}": "",
    "{ratio}": "",
    "umol/L": "µmol/L",
    "a": "years",
}
_MENOPAUSE: Final = {"post": "postmenopausal", "pre": "before menopause", "during": "during menopause"}
STATES: Final = {
    "complete": "complete",
    "incomplete": "incomplete: an input that the model needs is missing",
    "needs_regions": "waiting for regions: nobody has drawn or confirmed them on this study yet",
    "needs_confirmation": "waiting for confirmation of the automatic regions",
    "not_measurable": "not measurable on this study",
    "outside_population": "outside the population that the model was made for",
    "withdrawn": "withdrawn: what it rested on is no longer valid",
}


def number(value: float) -> str:
    """About three significant digits and never an exponent: 4.26, -2.9, 79.6, 325."""
    size = abs(value)
    decimals = 2 if size < 10 else 1 if size < 100 else 0
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def percent(probability: float) -> str:
    """0.2988 as `29.9 %`."""
    return f"{100 * probability:.1f} %"


def interval(risk: Risk) -> str:
    """`95 % interval 22.9 to 38.5 %`."""
    return f"{100 * risk.level:.0f} % interval {100 * risk.lower:.1f} to {percent(risk.upper)}"


def years(horizon: float) -> str:
    """5.0 as `5`."""
    return f"{horizon:g}"


def value_text(row: ClinicalInput) -> str:
    """The value with its unit as people write it: `-2.48`, `79.6 µmol/L`, `yes`."""
    if isinstance(row.value, bool):
        return "yes" if row.value else "no"
    if isinstance(row.value, str):
        return _MENOPAUSE.get(row.value, row.value) if row.name == "menopause" else row.value
    text = f"{row.value:.2f}" if row.name == "vbq" else number(row.value)
    unit = _UNITS.get(row.unit, row.unit)
    return f"{text} {unit}" if unit else text


def remarks(row: ClinicalInput) -> list[str]:
    """What must be said beside a value: how it came about where it was not measured, its note, and that it is old."""
    said: list[str] = []
    if row.how not in ("measured", "stated") and not (row.note or "").startswith(row.how):
        said.append(row.how)
    if row.note:
        said.append(row.note)
    if row.stale:
        said.append("older than the configured window")
    return said


def input_text(row: ClinicalInput) -> str:
    """One line: `DXA T-score, lumbar spine (L1-L4) -2.48 (2023-12-01; estimated)`."""
    details = "; ".join([*([row.date.isoformat()] if row.date else []), *remarks(row)])
    return f"{row.label} {value_text(row)}" + (f" ({details})" if details else "")


def used_and_other(assessment: Assessment) -> tuple[list[ClinicalInput], list[ClinicalInput]]:
    """The inputs that the model predicts from, and what else was considered. All are of the second kind where the
    assessment does not record what its model predicts from.
    """
    names = assessment.model.inputs
    used = [row for row in assessment.inputs if row.name in names]
    return used, [row for row in assessment.inputs if row.name not in names]


def model_text(assessment: Assessment) -> str:
    """`lin2025-vbq-t 1.0.0`."""
    return f"{assessment.model.id} {assessment.model.version}"


def study_day(assessment: Assessment) -> dt.date | None:
    """The day of the images, where their header says it."""
    stated = assessment.measurement.acquisition.study_date if assessment.measurement else None
    return dt.date.fromisoformat(stated) if stated else None
