"""Cards where they help: what is being ordered decides what is said, and whether anything is (issue 5, order time)."""

from typing import Any

import pytest

from schemas.assessment import Assessment, Risk
from schemas.card_policy import TRIGGERS, Trigger
from schemas.fhir.full import validate
from services.card_ids import card_id, card_of, clinician_tag, with_clinician
from services.cards import Extras
from services.locales import LANGUAGES, choose
from services.orders import Moment, Orders
from tests import assessments as made
from tests.services.test_cards import CHART, LOCALES, POLICY, at, cards, only

ORDERS = Orders(POLICY)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
CPT = "http://www.ama-assn.org/go/cpt"


def service_request(system: str | None = None, code: str | None = None, text: str | None = None) -> dict[str, Any]:
    coding = [{"system": system, "code": code}] if code else [{}]
    return {"resourceType": "ServiceRequest", "id": "r1", "code": {"coding": coding, "text": text}, "reasonCode": []}


def medication(text: str, system: str = RXNORM, code: str = "0") -> dict[str, Any]:
    """As the sandbox sends it: category an object, code of a clinical drug that no value set can list."""
    concept = {"text": text, "coding": [{"display": text, "system": system, "code": code}]}
    return {"resourceType": "MedicationRequest", "id": "r1", "category": {}, "medicationCodeableConcept": concept}


def moment(*resources: Any, selections: list[str] | None = None) -> Moment:
    return ORDERS.moment("order-select", {"entry": [{"resource": row} for row in resources]}, selections)


@pytest.mark.parametrize(
    ("order", "trigger"),
    [
        (service_request(CPT, "22612"), "fusion"),
        (service_request(CPT, "22842"), "fusion"),
        (service_request(None, None, "Spinal fusion L4/5"), "fusion"),
        (service_request(CPT, "22511"), "vertebroplasty"),
        (service_request("http://loinc.org", "24968-0"), "lumbar_mri"),
        (service_request("http://loinc.org", "38269-7"), "dxa"),
        (service_request(CPT, "77080"), "dxa"),
        (medication("Prednisone 5 MG Oral Tablet"), "glucocorticoid"),
        (medication("whatever", ATC, "H02AB06"), "glucocorticoid"),
        (medication("letrozole 2.5 MG"), "aromatase_inhibitor"),
        (medication("Alendronic acid 5 MG Oral Tablet"), "osteoporosis_drug"),
        (service_request(CPT, "99213", "Office visit"), "other_order"),
        (service_request(), "unread_order"),
        ({"resourceType": "MedicationRequest", "id": "r1"}, "unread_order"),
        ({"code": {"coding": {"system": CPT, "code": "22630"}}}, "fusion"),
        ({"medication": {"concept": {"coding": [{"system": ATC, "code": "L02BG04"}]}}}, "aromatase_inhibitor"),
        (
            {
                "medicationReference": {"reference": "#m"},
                "contained": [{"id": "m", "code": {"text": "Denosumab 60 mg"}}],
            },
            "osteoporosis_drug",
        ),
    ],
)
def test_the_kind_of_an_order_is_read_from_whatever_a_client_sends(order: Any, trigger: Trigger) -> None:
    assert moment(order).trigger == trigger


@pytest.mark.parametrize("rubbish", [None, [], "x", {"entry": "x"}, {"entry": [None, {"resource": 7}, {}]}, 3])
def test_rubbish_in_place_of_draft_orders_is_an_order_that_says_nothing(rubbish: Any) -> None:
    assert ORDERS.moment("order-sign", rubbish, None).trigger == "unread_order"
    assert (
        moment({"code": {"coding": [{"system": 1, "code": {}}], "text": 5}, "contained": 3}).trigger == "unread_order"
    )


def test_order_select_speaks_to_what_is_selected_and_sign_to_the_weightiest() -> None:
    fusion = {**service_request(CPT, "22612"), "id": "f"}
    scan = {**service_request(CPT, "77080"), "id": "d"}
    assert moment(fusion, scan, selections=["ServiceRequest/d"]).trigger == "dxa"
    assert moment(fusion, scan, selections=["ServiceRequest/gone"]).trigger == "fusion"
    both = ORDERS.moment("order-sign", {"entry": [{"resource": scan}, {"resource": fusion}]}, None)
    assert both.trigger == "fusion"
    assert both.kinds == {"fusion", "dxa"}


def with_risk(risk_class: Any, **changes: Any) -> Assessment:
    value = {"low": 0.08, "moderate": 0.2, "high": 0.45}[risk_class]
    risk = Risk(horizon_years=5.0, risk=value, lower=value - 0.05, upper=value + 0.1, risk_class=risk_class)
    return made.assessment(risk=risk, **changes)


def test_the_chart_is_quiet_below_the_threshold_and_a_fusion_is_not() -> None:
    low = with_risk("low")
    assert cards(low) == []
    assert cards(low, moment=at("glucocorticoid")) == []
    assert only(low, moment=at("fusion")).summary.startswith("Before spinal fusion: VBQ 4.26")
    assert cards(with_risk("high"), moment=at("other_order")) == []
    assert len(cards(with_risk("moderate"))) == 1


def test_with_a_dxa_order_it_says_that_the_t_score_is_pending() -> None:
    card = only(made.incomplete(), moment=at("dxa"))
    assert card.summary == "VBQ 4.26 is known, the T-score is pending: the risk follows with the DXA"
    assert "Order a DXA" not in str(card.suggestions)
    other = only(made.incomplete(missing=["menopause"], inputs=made.inputs()), moment=at("dxa"))
    assert "T-score is pending" not in other.summary


def labels(assessment: Assessment, **changes: Any) -> list[str]:
    return [row.label for row in only(assessment, **changes).suggestions]


def test_high_risk_without_treatment_offers_a_fracture_liaison_service() -> None:
    refer = "Refer to a fracture liaison service"
    high = with_risk("high")
    assert refer in labels(high)
    assert refer in labels(high, extras=Extras(treatment=False))
    assert "no treatment of osteoporosis" in (only(high, extras=Extras(treatment=False)).detail or "")
    assert "no treatment of osteoporosis" not in (only(high).detail or ""), "an unread list proves nothing"
    assert refer not in labels(high, extras=Extras(treatment=True))
    assert refer not in labels(high, moment=at("osteoporosis_drug"))
    assert refer not in labels(with_risk("moderate"))


def test_what_is_missing_can_be_ordered_and_regions_reviewed() -> None:
    assert labels(made.incomplete()) == ["Order a DXA of the spine and hip"]
    assert labels(made.incomplete(missing=["alp_u_l", "crcl_ml_min"], inputs=made.inputs()))[-1] == (
        "Order the missing laboratory values"
    )
    assert labels(made.needs_regions()) == ["Request a review of the MRI regions"]


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_32_to_34_every_suggestion_is_a_valid_order_and_never_a_drug(trigger: Any, language: Any) -> None:
    for assessment in (
        with_risk("high"),
        made.incomplete(missing=["t_score", "alp_u_l", "crcl_ml_min"]),
        made.needs_regions(),
    ):
        for card in cards(assessment, moment=at(trigger), locale=LOCALES[language]):
            assert card.selection_behavior == ("any" if card.suggestions else None)
            assert len(card.summary) < 140
            for suggestion in card.suggestions:
                assert suggestion.label
                for action in suggestion.actions:
                    assert action.type == "create"
                    assert action.description
                    assert action.resource is not None
                    assert action.resource["resourceType"] == "ServiceRequest"
                    validate(action.resource)


def test_no_suggestion_can_be_a_drug_whatever_the_policy() -> None:
    kinds = {kind for rule in POLICY.show.values() for kind in rule.suggestions}
    assert kinds <= {"dxa", "fracture_liaison", "labs", "region_review"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_is_in_one_language_with_its_own_numbers_and_dates(language: Any) -> None:
    locale = LOCALES[language]
    card = only(made.assessment(), locale=locale)
    number = {"en": "29.9 %", "de": "29,9 %", "fr": "29,9 %", "es": "29,9 %", "zh": "29.9%"}[language]
    day = {"en": "2024-01-15", "de": "15.01.2024", "fr": "15/01/2024", "es": "15/01/2024", "zh": "2024年1月15日"}
    assert number in card.summary
    assert day[language] in (card.detail or "")
    assert locale.text("detail.research") in (card.detail or "")
    for state in (made.incomplete(), made.needs_regions(), made.outside_population(), made.withdrawn()):
        other = only(state, locale=locale)
        assert other.summary == locale.text(
            f"summary.{state.state}", **({"missing": locale.name("t_score")} if state.missing else {})
        )
    if language != "en":
        assert card.summary != only(made.assessment()).summary


@pytest.mark.parametrize(
    ("stated", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "it, fr;q=0.5", "fr"),
        (None, "*", "en"),
        (None, "zh-CN", "zh"),
        (None, "de;q=0, ;;;, x;q=oops", "en"),
        ("es", "de", "es"),
    ],
)
def test_the_language_is_the_clients_setting_then_accept_language_then_the_policys(
    stated: Any, accepted: str | None, language: str
) -> None:
    assert choose(LOCALES, stated=stated, accepted=accepted, default="en").language == language


def test_a_cards_id_says_what_it_was_about_and_not_who_saw_it() -> None:
    tag = clinician_tag("Patient/p1", "Practitioner/d1")
    for hook in ("patient-view", "order-select", "order-sign"):
        for trigger in TRIGGERS:
            found = card_of(card_id(made.OLD_ID, hook, trigger, tag))
            assert found == (made.OLD_ID[:13], hook, trigger, tag)
            nobodys = card_id(made.OLD_ID, hook, trigger, "0" * 16).encode()
            assert with_clinician(nobodys, tag).decode() == card_id(made.OLD_ID, hook, trigger, tag)
    assert tag != clinician_tag("Patient/p2", "Practitioner/d1")
    for other in ("x", "ce4af444-b4f1-47d0-81a3-d972da413a9a", "5f0b6a4e-95a3-8fff-8384-1d8646dc207b"):
        assert card_of(other) is None


def test_links_are_about_the_model_and_the_review_page_where_the_client_can_open_it() -> None:
    model = ("absolute", "http://127.0.0.1:8080/models/lin2025-vbq-t", None)
    launch = ("smart", "http://127.0.0.1:8080/launch", made.OLD_ID)
    page = ("absolute", f"http://127.0.0.1:8080/review/{made.OLD_ID}", None)

    def links(**given: Any) -> list[tuple[str, str, str | None]]:
        return [(row.type, row.url, row.app_context) for row in only(made.assessment(), **given).links]

    assert links() == [model]
    assert links(extras=Extras(review="smart")) == [model, launch]
    assert links(extras=Extras(review="absolute")) == [model, page]
    assert links(extras=Extras(review="smart", first_answer=True)) == [model], "a first answer is stored nowhere yet"
    assert links(extras=Extras(review="smart"), policy=POLICY.but(review_link="none")) == [model]
    assert links(policy=POLICY.but(review_link="smart")) == [model, launch]


def test_a_first_answer_is_marked_and_what_could_not_be_had_is_named() -> None:
    detail = only(made.assessment(), extras=Extras(first_answer=True, not_had=("dxa",))).detail or ""
    assert "First answer, computed on the spot" in detail
    assert "Could not be read from the record for this answer: dxa" in detail
    assert CHART.phase == "chart"
