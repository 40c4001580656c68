"""What a card offers to do with one click: orders and referrals, each a complete resource. Never a drug."""

import uuid
from typing import Any, Final

from schemas.assessment import Assessment
from schemas.card_policy import RANK, CardPolicy, OrderCode, SuggestionKind
from schemas.cds import Action, Suggestion
from schemas.fhir import systems
from schemas.fhir.reference import read_reference
from services.locales import Locale
from services.orders import Moment

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"{systems.ROOT}/suggestion")


def suggestions_for(
    assessment: Assessment,
    moment: Moment,
    policy: CardPolicy,
    locale: Locale,
    *,
    treatment: bool | None,
    supporting: str | None,
) -> list[Suggestion]:
    """What may be offered at `moment`. `treatment`: whether the medication list has a treatment of osteoporosis, None
    where it was not read. `supporting`: absolute URL of the RiskAssessment, where it is stored.
    """
    found = []
    for kind in policy.show[moment.trigger].suggestions:
        codes = _codes(kind, assessment, moment, policy, treatment=treatment)
        if codes:
            subject = _subject(assessment.patient)
            actions = [
                Action(
                    type="create",
                    description=_reason(kind, name, locale),
                    resource=_order(code, _title(kind, name, locale), _reason(kind, name, locale), subject, supporting),
                )
                for name, code in codes
            ]
            own = str(uuid.uuid5(_NAMESPACE, f"{assessment.id}|{kind}"))
            found.append(Suggestion(label=locale.text(f"suggest.{kind}.label"), uuid=own, actions=actions))
    return found


def _codes(
    kind: SuggestionKind, assessment: Assessment, moment: Moment, policy: CardPolicy, *, treatment: bool | None
) -> list[tuple[str, OrderCode]]:
    """The orders that `kind` would make now, each with the input that it is for."""
    suggest = policy.suggest
    t_score = next((row for row in assessment.inputs if row.name == "t_score"), None)
    match kind:
        case "dxa":
            wanted = "t_score" in assessment.missing or (t_score is not None and t_score.stale)
            known = any(row.name == "vbq" for row in assessment.inputs)
            return [("t_score", suggest.dxa)] if wanted and known and "dxa" not in moment.kinds else []
        case "fracture_liaison":
            risk = assessment.risk
            high = risk is not None and RANK[risk.risk_class] >= RANK[suggest.fracture_liaison_from]
            treated = bool(treatment) or "osteoporosis_drug" in moment.kinds
            return [("risk", suggest.fracture_liaison)] if high and not treated else []
        case "region_review":
            waits = assessment.state in ("needs_regions", "needs_confirmation")
            return [("vbq", suggest.region_review)] if waits else []
        case "labs":
            return [(name, code) for name, code in suggest.labs.items() if name in assessment.missing]


def _reason(kind: SuggestionKind, name: str, locale: Locale) -> str:
    return locale.text(f"suggest.{kind}.reason", **({"name": locale.name(name)} if kind == "labs" else {}))


def _title(kind: SuggestionKind, name: str, locale: Locale) -> str:
    return locale.name(name) if kind == "labs" else locale.text(f"suggest.{kind}.label")


def _order(code: OrderCode, title: str, reason: str, subject: str, supporting: str | None) -> dict[str, Any]:
    """A whole ServiceRequest (R4). Who orders, when and in which encounter the EHR fills in as the order is signed."""
    resource: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "code": {
            "coding": [{"system": code.system, "code": code.code, "display": code.display}],
            "text": title,
        },
        "subject": {"reference": subject},
        "reasonCode": [{"text": reason}],
    }
    if supporting is not None:
        resource["supportingInfo"] = [{"reference": supporting}]
    return resource


def _subject(patient: str) -> str:
    """The patient as the EHR itself calls her: relative to its own server."""
    literal = read_reference(patient)
    return literal.relative if literal else patient
