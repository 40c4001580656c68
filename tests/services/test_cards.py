"""Cards: what a clinician reads, and that nothing in the data can be more than text."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gateways.card_policy import card_policy
from schemas.assessment import Assessment, Risk
from schemas.cds import Card, Hook, HookResponse
from schemas.measurement import Reason
from services.card_ids import clinician_tag
from services.cards import Extras, cards_for
from services.locales import LANGUAGES, locales_of
from services.markdown import escaped, plain, shortened
from services.orders import Moment
from tests import assessments as made
from tests.golden_files import agrees_with_golden

BASE = "http://127.0.0.1:8080"
STATES = {
    "complete": made.assessment,
    "incomplete": made.incomplete,
    "needs-regions": made.needs_regions,
    "outside-population": made.outside_population,
    "withdrawn": made.withdrawn,
}


POLICY = card_policy(None)
LOCALES = locales_of(POLICY)
CHART = Moment("patient-view", "chart", frozenset())


def at(trigger: Any, hook: Hook = "order-select") -> Moment:
    return Moment(hook, trigger, frozenset({trigger})) if trigger != "chart" else CHART


def cards(assessment: Assessment | None, **changes: Any) -> list[Card]:
    options: dict[str, Any] = {
        "known": True,
        "in_progress": False,
        "moment": CHART,
        "policy": POLICY,
        "locale": LOCALES["en"],
        "clinician": clinician_tag("Patient/p1", "Practitioner/d1"),
        "hook_instance": "9922bd08-7d4b-4a1e-9b85-7f1fd5e64368",
        "base_url": BASE,
        "caution": "Derived from a publication; not validated.",
    }
    return cards_for(assessment, **{**options, **changes})


def only(assessment: Assessment | None, **changes: Any) -> Card:
    (card,) = cards(assessment, **changes)
    return card


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_the_card_that_was_found_right(state: str) -> None:
    assert agrees_with_golden(f"cards/{state}.json", HookResponse(cards=cards(STATES[state]())).document())


def test_a_result_on_its_way_is_said_so() -> None:
    response = HookResponse(cards=cards(None, in_progress=True)).document()
    assert agrees_with_golden("cards/on-its-way.json", response)
    assert "Newer data has arrived" in (only(made.assessment(), in_progress=True).detail or "")


@pytest.mark.parametrize("in_progress", [True, False])
def test_an_unknown_patient_has_no_card(in_progress: bool) -> None:
    assert cards(None, known=False, in_progress=in_progress) == []
    assert cards(None, known=True, in_progress=False) == []


def test_a_risk_is_told_with_interval_inputs_dates_model_and_what_it_is_not() -> None:
    card = only(made.assessment())
    detail = card.detail or ""
    for words in (
        "29.9 %",
        "22.9 to 38.5 %",
        "**-2.48** (2021-12-01; older than the configured window)",
        "**79.6 µmol/L** (2023-12-01",
        "Also in the record, not used by this model:",
        "estimated",
        "assumed",
        "CSF levels disagree",
        "lin2025-vbq-t 1.0.0",
        "Derived from a publication",
        "does not replace",
        "Research use: not a cleared medical device",
    ):
        assert words in detail
    assert card.links[0].url == f"{BASE}/models/lin2025-vbq-t"
    assert card.source.topic is not None


def test_what_is_missing_is_in_the_summary() -> None:
    assert only(made.incomplete()).summary == (
        "Vertebral fracture risk not computed: missing DXA T-score, lumbar spine"
    )


@pytest.mark.parametrize(("risk_class", "indicator"), [("low", "info"), ("moderate", "info"), ("high", "warning")])
def test_no_card_is_ever_critical(risk_class: Any, indicator: str) -> None:
    risk = Risk(horizon_years=5.0, risk=0.5, lower=0.4, upper=0.6, risk_class=risk_class)
    assert only(made.assessment(risk=risk), moment=at("fusion")).indicator == indicator


def test_a_card_keeps_its_uuid_within_a_hook_and_differs_between_hooks() -> None:
    view = only(made.assessment()).uuid
    assert only(made.assessment(), hook_instance="another", in_progress=True).uuid == view
    assert only(made.assessment(), moment=at("fusion", "order-sign")).uuid != view
    assert only(made.assessment(), clinician=clinician_tag("Patient/p1", "Practitioner/d2")).uuid != view
    assert only(made.assessment(id="0b8a5e4e-0000-5b0a-8a5e-2b6a5a0f0001")).uuid != view


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![](https://evil.example/pixel.png)",
    "**bold** _it_ `code` ~~gone~~ | cell",
    "line\n\n# Heading\n- item\n1. one\n> quote",
    "https://evil.example www.evil.example a@evil.example",
    "1. one",
    "- item",
    "---",
    "&lt;script&gt; &amp; &#60;",
    "\\<script>\\",
    "\u202egnp.exe\u2028\x00",
]


def html(detail: str) -> str:
    """As a client renders GitHub Flavored Markdown that lets raw HTML through."""
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(detail))


TAGS = {"p", "/p", "strong", "/strong", "ul", "/ul", "li", "/li"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_anywhere_in_the_data_stays_text(text: str) -> None:
    inputs = [row.but(label=text, note=text) for row in made.inputs()]
    inputs[4] = inputs[4].but(value=text)
    hostile = made.assessment(
        inputs=inputs,
        reasons=[Reason(code="x", text=text)],
        ignored=[row.but(text=text, about=text) for row in made.assessment().ignored],
        measurement=made.measurement(algorithm=text, flags=[Reason(code="x", text=text)]),
        software=text,
        missing=[text],
        state="incomplete",
        risk=None,
    )
    card = only(hostile, caution=text)
    assert "<" not in card.detail + card.source.label if card.detail else False
    rendered = html(card.detail or "")
    assert set(re.findall(r"<([^\s>]+)[^>]*>", rendered)) <= TAGS
    assert len(card.summary) < 140
    risky = made.assessment(inputs=inputs, risk=made.assessment().risk, software=text)
    for trigger in ("fusion", "dxa", "chart"):
        for language in LANGUAGES:
            extras = Extras(first_answer=True, not_had=(text,), treatment=False)
            shown = only(risky, moment=at(trigger), locale=LOCALES[language], extras=extras, caution=text)
            assert set(re.findall(r"<([^\s>]+)[^>]*>", html(shown.detail or ""))) <= TAGS


@given(st.text(max_size=80))
def test_escaped_text_reads_as_it_was_and_is_one_paragraph(text: str) -> None:
    rendered = html(f"x {escaped(text)} x")
    assert set(re.findall(r"<([^\s>]+)", rendered)) <= {"p", "/p"}
    words = rendered[3:-5].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert words.split() == f"x {plain(text)} x".split()


@given(st.text(alphabet="1.)-+=*#> \tab", max_size=8))
def test_escaped_text_begins_no_list_heading_or_rule(text: str) -> None:
    rendered = html(f"- {escaped(text)}\n- end")
    assert set(re.findall(r"<([^\s>]+)", rendered)) <= {"ul", "/ul", "li", "/li"}


@given(st.text(max_size=400), st.integers(2, 139))
def test_a_summary_is_cut_to_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit
