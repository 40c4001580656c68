"""An assessment as CDS Hooks cards. Pure: the stored result in, cards out.

Some 200 microseconds a card. An assessment never changes, so services/card_answers.py keeps what was rendered. Cards
are short: the panel of an EHR is an eighth of the screen wide.
"""

import uuid
from dataclasses import dataclass
from typing import Final, Literal

from schemas.assessment import Assessment
from schemas.card_policy import RANK, CardPolicy
from schemas.cds import Card, Coding, Indicator, Link, Source
from schemas.clinical import ClinicalInput
from schemas.fhir import systems
from schemas.wording import model_text, used_and_other, years
from services.card_ids import card_id
from services.locales import Locale
from services.markdown import escaped, shortened
from services.orders import Moment
from services.suggestions import suggestions_for

SUMMARY_LIMIT: Final = 139
OTHERS_SHOWN: Final = 6
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"{systems.ROOT}/card")
OVERRIDE_REASONS: Final = ("already-managed", "not-relevant-now", "doubtful", "patient-declines")
# Said of every patient that the model may be asked about; on the card only where they are missing.
_UNSAID: Final = ("sex", "age_years", "menopause")


ReviewLink = Literal["none", "absolute", "smart"]


@dataclass(frozen=True)
class Extras:
    """What this call adds to what is stored."""

    first_answer: bool = False
    """The assessment was computed on the spot and is stored nowhere yet."""
    not_had: tuple[str, ...] = ()
    """Prefetch keys that could neither be read nor fetched."""
    treatment: bool | None = None
    """Whether the medication list has a treatment of osteoporosis; None: it was not read."""
    review: ReviewLink = "none"
    """The link to the review page that the caller's EHR can open."""


NOTHING_MORE: Final = Extras()


def cards_for(
    assessment: Assessment | None,
    *,
    known: bool,
    in_progress: bool,
    moment: Moment,
    hook_instance: str,
    base_url: str,
    policy: CardPolicy,
    locale: Locale,
    clinician: str,
    caution: str | None = None,
    extras: Extras = NOTHING_MORE,
) -> list[Card]:
    """The cards about a patient whose current assessment is `assessment`: none for a patient nobody told us of, and
    none where the policy is quiet at this moment.

    `in_progress`: an assessment is on its way. `caution`: the model's own sentence for cards (ModelArtefact.caution).
    `base_url`: ours, without a slash at its end. `clinician`: a tag of card_ids.clinician_tag.
    """
    rule = policy.show[moment.trigger]
    if assessment is None:
        waiting = known and in_progress and rule.on_its_way
        return [_on_its_way(moment, hook_instance, base_url, locale)] if waiting else []
    if not shown(assessment, moment, policy):
        return []
    supporting = None if extras.first_answer else f"{base_url}/fhir/RiskAssessment/{assessment.id}"
    suggestions = suggestions_for(assessment, moment, policy, locale, treatment=extras.treatment, supporting=supporting)
    return [
        Card(
            uuid=card_id(assessment.id, moment.hook, moment.trigger, clinician),
            summary=summary(assessment, moment, locale),
            indicator=_indicator(assessment),
            source=_source(base_url, locale),
            detail=_detail(assessment, locale, in_progress=in_progress, caution=caution, extras=extras),
            suggestions=suggestions,
            selection_behavior="any" if suggestions else None,
            override_reasons=_override_reasons(locale),
            links=_links(assessment, base_url, policy, locale, extras),
        )
    ]


def shown(assessment: Assessment, moment: Moment, policy: CardPolicy) -> bool:
    """Whether the policy wants a card about `assessment` at `moment`."""
    rule = policy.show[moment.trigger]
    if assessment.risk is None:
        return assessment.state in rule.states
    return rule.risk_from != "never" and RANK[assessment.risk.risk_class] >= RANK[rule.risk_from]


def _on_its_way(moment: Moment, hook_instance: str, base_url: str, locale: Locale) -> Card:
    return Card(
        uuid=str(uuid.uuid5(_NAMESPACE, f"{hook_instance}|{moment.hook}|on-its-way")),
        summary=locale.text("summary.on_its_way"),
        indicator="info",
        source=_source(base_url, locale),
        detail=f"{locale.text('detail.on_its_way')}\n\n{_footer(locale)}",
    )


def _source(base_url: str, locale: Locale) -> Source:
    topic = Coding(system=systems.TOPIC, code="vertebral-fracture-risk", display=locale.text("topic"))
    return Source(label=locale.text("source"), url=f"{base_url}/", topic=topic)


def _override_reasons(locale: Locale) -> list[Coding]:
    return [
        Coding(system=systems.OVERRIDE_REASON, code=code, display=locale.text(f"override.{code}"))
        for code in OVERRIDE_REASONS
    ]


def _links(assessment: Assessment, base_url: str, policy: CardPolicy, locale: Locale, extras: Extras) -> list[Link]:
    model = locale.text("link.model", model=model_text(assessment))
    links = [Link(label=model, url=f"{base_url}/models/{assessment.model.id}")]
    kind = extras.review if policy.review_link == "auto" else policy.review_link
    label = locale.text("link.review")
    if extras.first_answer or kind == "none":
        return links
    if kind == "smart":
        return [*links, Link(label=label, url=f"{base_url}/launch", type="smart", app_context=assessment.id)]
    return [*links, Link(label=label, url=f"{base_url}/review/{assessment.id}")]


def _indicator(assessment: Assessment) -> Indicator:
    """Never critical: a five-year risk is no emergency, and some EHRs interrupt for it."""
    return "warning" if assessment.risk is not None and assessment.risk.risk_class == "high" else "info"


def summary(assessment: Assessment, moment: Moment, locale: Locale) -> str:
    """One line, under 140 characters, that speaks to what is being ordered."""
    values: dict[str, str] = {
        row.name: locale.value(row) for row in assessment.inputs if row.name in ("vbq", "t_score")
    }
    risk = assessment.risk
    if risk is not None:
        values |= {"years": years(risk.horizon_years), "risk": locale.percent(risk.risk)}
        values |= {"class": locale.risk_class(risk), "interval": locale.interval(risk)}
        kind = "summary.risk"
    elif assessment.state == "incomplete":
        values["missing"] = locale.joined([locale.name(name) for name in assessment.missing])
        kind = "summary.incomplete"
    else:
        return shortened(locale.text(f"summary.{assessment.state}"), SUMMARY_LIMIT)
    special = f"{kind}.{moment.trigger}"
    pending = moment.trigger != "dxa" or risk is not None or "t_score" in assessment.missing
    if locale.has(special) and pending:
        try:
            return shortened(locale.text(special, **values), SUMMARY_LIMIT)
        except KeyError:  # it speaks of a VBQ or T-score that is not there
            pass
    return shortened(locale.text(kind, **values), SUMMARY_LIMIT)


def _detail(assessment: Assessment, locale: Locale, *, in_progress: bool, caution: str | None, extras: Extras) -> str:
    parts = [_first_line(assessment, locale)]
    if extras.first_answer:
        parts.append(locale.text("detail.first_answer"))
    elif in_progress:
        parts.append(locale.text("detail.in_progress"))
    parts += _list("", [locale.reason(row.code, row.text) for row in assessment.reasons[:OTHERS_SHOWN]])
    if assessment.missing and assessment.state != "incomplete":  # there the first line names them
        missing = [escaped(locale.name(name)) for name in assessment.missing]
        parts += _list(locale.text("detail.missing"), missing)
    used, other = used_and_other(assessment)
    parts += _list(locale.text("detail.used"), [_input(row, assessment, locale) for row in used])
    heading = "detail.other" if used or assessment.model.inputs else "detail.unrecorded"
    shown = [row for row in other if row.name not in _UNSAID or row.how == "assumed"]
    parts += _list(locale.text(heading), [_input(row, assessment, locale) for row in shown[:OTHERS_SHOWN]])
    parts += _list(locale.text("detail.note"), _notes(assessment, locale))
    if extras.treatment is False and assessment.risk is not None and assessment.risk.risk_class == "high":
        parts.append(locale.text("detail.treatment_none"))
    if extras.not_had:
        parts.append(locale.text("detail.not_had", names=escaped(locale.joined(list(extras.not_had)))))
    parts += [_model_line(assessment, locale, caution), _footer(locale)]
    return "\n\n".join(parts)


def _first_line(assessment: Assessment, locale: Locale) -> str:
    risk = assessment.risk
    if risk is None:
        return f"**{escaped(locale.text(f'summary.{assessment.state}', **_missing(assessment, locale)))}**"
    return locale.text(
        "detail.risk",
        years=years(risk.horizon_years),
        risk=locale.percent(risk.risk),
        interval=locale.interval(risk),
        **{"class": locale.risk_class(risk)},
    )


def _missing(assessment: Assessment, locale: Locale) -> dict[str, str]:
    if assessment.state != "incomplete":
        return {}
    return {"missing": locale.joined([locale.name(name) for name in assessment.missing])}


def _list(heading: str, rows: list[str]) -> list[str]:
    """A heading and a list, as one block; nothing where there are no rows."""
    if not rows:
        return []
    items = "\n".join(f"- {row}" for row in rows)
    return [f"{heading}\n\n{items}" if heading else items]


def _input(row: ClinicalInput, assessment: Assessment, locale: Locale) -> str:
    said = [locale.day(row.date)] if row.date else []
    if not said and row.how in ("measured", "estimated"):
        said.append(locale.text("about.no_date"))
    if row.how in ("estimated", "assumed"):
        said.append(locale.text(f"about.{row.how}"))
    measured = assessment.measurement
    if row.name == "vbq" and measured is not None:
        if measured.method is not None:
            said.append(locale.text(f"about.{measured.method}"))
        if measured.status == "needs_confirmation":
            said.append(locale.text("about.unconfirmed"))
    if row.stale:
        said.append(locale.text("about.stale"))
    about = f" ({escaped('; '.join(said))})" if said else ""
    return f"{escaped(locale.name(row.name))}: **{escaped(locale.value(row))}**{about}"


def _notes(assessment: Assessment, locale: Locale) -> list[str]:
    measured = assessment.measurement
    flags = [*(assessment.risk.flags if assessment.risk else ()), *(measured.flags if measured else ())]
    return [locale.reason(row.code, row.text) for row in flags[:OTHERS_SHOWN]]


def _model_line(assessment: Assessment, locale: Locale, caution: str | None) -> str:
    text = locale.text(
        "detail.model",
        model=escaped(model_text(assessment)),
        date=escaped(locale.day(assessment.created.date())),
        software=escaped(assessment.software),
    )
    return f"{text} {escaped(caution)}" if caution else text


def _footer(locale: Locale) -> str:
    return f"{locale.text('detail.informs')} {locale.text('detail.research')}"
