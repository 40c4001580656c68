"""An assessment as CDS Hooks cards. Pure: the stored result in, cards out.

Some 100 microseconds a card. An assessment never changes, so a service may keep the rendered card by
(assessment.id, hook, in_progress).
"""

import uuid
from typing import Final

from schemas.assessment import Assessment, AssessmentState, Risk
from schemas.cds import Card, Coding, Hook, Indicator, Link, Source
from schemas.clinical import ClinicalInput, IgnoredInput
from schemas.fhir import systems
from schemas.measurement import Measurement
from schemas.wording import (
    INFORMS,
    OUTCOME,
    RESEARCH_USE,
    interval,
    model_text,
    percent,
    remarks,
    used_and_other,
    value_text,
    years,
)
from services.markdown import escaped, shortened

SUMMARY_LIMIT: Final = 139
IGNORED_SHOWN: Final = 6
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"{systems.ROOT}/card")
_TOPIC: Final = Coding(system=systems.TOPIC, code="vertebral-fracture-risk", display="Vertebral fracture risk")
_OVERRIDE_REASONS: Final = [
    Coding(system=systems.OVERRIDE_REASON, code=code, display=display)
    for code, display in (
        ("already-managed", "Bone health is already being managed"),
        ("not-relevant-now", "Not relevant to this visit"),
        ("doubtful", "The result is doubtful for this patient"),
    )
]
_HEADLINES: Final[dict[AssessmentState, str]] = {
    "incomplete": "Vertebral fracture risk not computed: missing",
    "needs_regions": "Vertebral fracture risk not computed: the MRI has no measured regions yet",
    "needs_confirmation": "Vertebral fracture risk not computed: the measured MRI regions await confirmation",
    "not_measurable": "Vertebral fracture risk not computed: VBQ cannot be measured on the MRI",
    "outside_population": "Vertebral fracture risk not computed: outside the model's population",
    "withdrawn": "Vertebral fracture risk withdrawn: what it rested on is no longer valid",
}
_NAMES: Final[dict[str, str]] = {
    "vbq": "VBQ from a lumbar MRI",
    "t_score": "DXA T-score of the lumbar spine",
    "age_years": "age",
    "sex": "sex",
    "menopause": "menopausal status",
    "weight_kg": "weight",
    "crcl_ml_min": "creatinine clearance",
    "alp_u_l": "alkaline phosphatase",
    "history_vf": "history of vertebral fracture",
}


def cards_for(
    assessment: Assessment | None,
    *,
    known: bool,
    in_progress: bool,
    hook: Hook,
    hook_instance: str,
    base_url: str,
    caution: str | None = None,
) -> list[Card]:
    """The cards about a patient whose current assessment is `assessment`: none for a patient nobody told us of.

    `in_progress`: an assessment is on its way. `caution`: the model's own sentence for cards (ModelArtefact.caution).
    `base_url`: ours, without a slash at its end. An assessment's card has the same uuid whenever it is shown by the
    same hook, so that feedback on it can be traced.
    """
    if assessment is None:
        return [_on_its_way(hook, hook_instance, base_url)] if known and in_progress else []
    return [
        Card(
            uuid=str(uuid.uuid5(_NAMESPACE, f"{assessment.id}|{hook}")),
            summary=_summary(assessment),
            indicator=_indicator(assessment),
            source=_source(base_url),
            detail=_detail(assessment, in_progress=in_progress, caution=caution),
            override_reasons=_OVERRIDE_REASONS,
            links=[
                Link(label=f"About the model {model_text(assessment)}", url=f"{base_url}/models/{assessment.model.id}")
            ],
        )
    ]


def _on_its_way(hook: Hook, hook_instance: str, base_url: str) -> Card:
    return Card(
        uuid=str(uuid.uuid5(_NAMESPACE, f"{hook_instance}|{hook}|on-its-way")),
        summary="Vertebral fracture risk: the result is on its way",
        indicator="info",
        source=_source(base_url),
        detail=f"Data on this patient has arrived and is being assessed. Open the chart again shortly.\n\n{_footer()}",
    )


def _source(base_url: str) -> Source:
    return Source(label="VBQ vertebral fracture risk (research use)", url=f"{base_url}/", topic=_TOPIC)


def _indicator(assessment: Assessment) -> Indicator:
    """Never critical: a five-year risk is no emergency, and some EHRs interrupt for it."""
    return "warning" if assessment.risk is not None and assessment.risk.risk_class == "high" else "info"


def _summary(assessment: Assessment) -> str:
    risk = assessment.risk
    if risk is not None:
        text = (
            f"{years(risk.horizon_years)}-year vertebral fracture risk {percent(risk.risk)} ({interval(risk)}), "
            f"{risk.risk_class}; research use"
        )
    elif assessment.state == "incomplete":
        missing = ", ".join(_NAMES.get(name, name) for name in assessment.missing) or "an input"
        text = f"{_HEADLINES['incomplete']} {missing}"
    else:
        text = _HEADLINES.get(assessment.state, "Vertebral fracture risk not computed")
    return shortened(text, SUMMARY_LIMIT)


def _detail(assessment: Assessment, *, in_progress: bool, caution: str | None) -> str:
    parts = [_risk_line(assessment.risk)] if assessment.risk is not None else [f"**{escaped(_summary(assessment))}**"]
    if in_progress:
        parts.append("Newer data has arrived; a new assessment is on its way.")
    parts += _list("", [escaped(row.text) for row in assessment.reasons])
    if assessment.missing and assessment.state != "complete":
        parts += _list("Missing:", [escaped(_NAMES.get(name, name)) for name in assessment.missing])
    used, other = used_and_other(assessment)
    parts += _list("The model predicts from:", [_input(row) for row in used])
    parts += _list("Also considered:" if used else "What was considered:", [_input(row) for row in other])
    if assessment.measurement is not None:
        parts += _list("MRI measurement:", _measurement(assessment.measurement))
    if assessment.risk is not None:
        parts += _list("Note:", [escaped(row.text) for row in assessment.risk.flags])
    parts += _list("Seen but not used:", _ignored(assessment.ignored))
    parts.append(_model_line(assessment, caution))
    parts.append(_footer())
    return "\n\n".join(parts)


def _risk_line(risk: Risk) -> str:
    return (
        f"**{years(risk.horizon_years)}-year risk of {OUTCOME}: {percent(risk.risk)}** "
        f"({interval(risk)}; {risk.risk_class}, a display threshold and not a validated rule)"
    )


def _list(heading: str, rows: list[str]) -> list[str]:
    """A heading and a list, as one block; nothing where there are no rows."""
    if not rows:
        return []
    items = "\n".join(f"- {row}" for row in rows)
    return [f"{heading}\n\n{items}" if heading else items]


def _input(row: ClinicalInput) -> str:
    said = [*([row.date.isoformat()] if row.date else ["date not stated"]), *remarks(row)]
    if row.date is None and row.how in ("assumed", "stated"):
        said = said[1:]
    about = f" ({escaped('; '.join(said))})" if said else ""
    return f"{escaped(row.label)}: **{escaped(value_text(row))}**{about}"


def _measurement(measurement: Measurement) -> list[str]:
    rows = []
    if measurement.vbq is not None:
        how = {"reader": "regions drawn by a reader", "automatic": "regions found automatically"}
        low_high = measurement.interval
        spread = f", 95 % interval {low_high[0]:.2f} to {low_high[1]:.2f}" if low_high else ""
        method = how[measurement.method] if measurement.method else "method not stated"
        rows.append(escaped(f"VBQ {measurement.vbq:.2f}{spread}; {method}; {measurement.algorithm}"))
    return [*rows, *(escaped(row.text) for row in (*measurement.reasons, *measurement.flags))]


def _ignored(ignored: list[IgnoredInput]) -> list[str]:
    rows = [
        escaped(f"{_NAMES.get(row.about, row.about)}{f' of {row.date.isoformat()}' if row.date else ''}: {row.text}")
        for row in ignored[:IGNORED_SHOWN]
    ]
    more = len(ignored) - IGNORED_SHOWN
    return [*rows, f"and {more} more"] if more > 0 else rows


def _model_line(assessment: Assessment, caution: str | None) -> str:
    day = assessment.created.date().isoformat()
    text = f"Model {model_text(assessment)}; assessed {day} by {assessment.software}."
    return escaped(f"{text} {caution}" if caution else text)


def _footer() -> str:
    return f"{INFORMS} {RESEARCH_USE}"
