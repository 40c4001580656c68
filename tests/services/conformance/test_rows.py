"""CDS Hooks, requirement by requirement: tests are named after the rows of docs/conformance.md.

Rows that have a test of their own elsewhere (tokens, prefetch, suggestions) are found by the number in its name; here
are those that show best on whole messages, and the bookkeeping that no row is left out.
"""

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from schemas.assessment import Assessment
from schemas.cds import Card, HookResponse, Link, Source, read_feedback
from schemas.errors import NotAcceptable
from schemas.fhir.full import validate

ROOT = Path(__file__).parents[3]
BASE = "http://127.0.0.1:8080"
EHR = "https://ehr.example/fhir"
HOOK = {f"vertebral-fracture-risk-{name}": hook for name, hook in (
    ("view", "patient-view"), ("order-select", "order-select"), ("order-sign", "order-sign"))}  # fmt: skip
VIEW, SELECT, SIGN = HOOK
ANY_JSON = str | int | float | bool | list[Any] | dict[str, Any] | None
# As real clients send them, made up anew: no Bundle.type, no intent, no medication yet, category an object, no code.
UNFINISHED = [
    {"resourceType": "ServiceRequest", "id": "r1", "status": "draft", "code": {"coding": [{}]}, "reasonCode": []},
    {"resourceType": "MedicationRequest", "id": "r1", "status": "draft", "subject": {"reference": "Patient/p1"}},
    {
        "resourceType": "MedicationRequest",
        "id": "r1",
        "status": "draft",
        "category": {"coding": [{"code": "community"}]},
        "medicationCodeableConcept": {
            "text": "Alendronic acid 10 MG Oral Tablet",
            "coding": [{"display": "Alendronic acid 10 MG Oral Tablet", "code": "1", "system": "urn:made-up"}],
        },
    },
]


def body_for(service: str, order: Any = UNFINISHED[0]) -> dict[str, Any]:
    context: dict[str, Any] = {"patientId": "p1", "userId": "Practitioner/d1"}
    if service != VIEW:
        context["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order}]}
    if service == SELECT:
        context["selections"] = [f"{order['resourceType']}/r1"]
    # the sandbox leaves out failed prefetch keys and sends keys of services that are not ours
    prefetch = {
        "patient": {"resourceType": "Patient", "id": "p1", "name": [{"family": "Doe"}], "gender": "female"},
        "practitioner": {"resourceType": "Bundle", "type": "searchset", "total": 0},
        "dxa": {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []},
    }
    hook = {"hook": HOOK[service], "hookInstance": str(uuid.uuid4()), "fhirServer": EHR}
    return {**hook, "context": context, "prefetch": prefetch}


@pytest.fixture
def call(client: FlaskClient, signer: Any) -> Callable[..., TestResponse]:
    """Posts with a fresh token, as the sandbox does it from a browser."""

    def post(path: str, body: Any, **headers: str) -> TestResponse:
        token = signer.token(f"{BASE}/cds-services/{path}", {"jku": "https://sandbox.example/.well-known/jwks.json"})
        every = {"Authorization": f"Bearer {token}", "Origin": "http://127.0.0.1:8092", **headers}
        return client.post(f"/cds-services/{path}", json=body, headers=every)

    return post


@pytest.fixture
def services(client: FlaskClient, signer: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services')}"}
    found: list[dict[str, Any]] = client.get("/cds-services", headers=headers).get_json()["services"]
    return found


@pytest.fixture
def responses(call: Callable[..., TestResponse], store: Callable[..., Assessment]) -> list[dict[str, Any]]:
    """What every service answers about a complete, a high and an incomplete result, for every unfinished order."""
    found = []
    for given in ({}, {"t_score": -3.5, "vbq": 5.0}, {"t_score": None}):
        store(**given)
        for service in HOOK:
            for order in UNFINISHED if service != VIEW else UNFINISHED[:1]:
                response = call(service, body_for(service, order))
                assert response.status_code == 200
                found.append(response.get_json())
    return found


def nothing_empty(value: ANY_JSON, place: str = "") -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            assert item is not None, f"{place}.{key}"
            assert key in ("cards", "services") or item not in ([], {}, ""), f"{place}.{key}"
            nothing_empty(item, f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            nothing_empty(item, place)


def test_row_01_answers_are_json_and_embedded_resources_fhir_json(
    call: Callable[..., TestResponse], store: Callable[..., Assessment]
) -> None:
    store(t_score=None)
    response = call(VIEW, body_for(VIEW))
    assert response.mimetype == "application/json"
    for suggestion in response.get_json()["cards"][0]["suggestions"]:
        for action in suggestion["actions"]:
            validate(action["resource"])


def test_row_02_the_ingress_of_the_chart_ends_tls() -> None:
    """TLS is the ingress's work in production: the chart has a place for its certificate, and the page says so."""
    assert "tls" in (ROOT / "helm/vbq-cds/values.yaml").read_text()
    assert "TLS" in (ROOT / "docs/conformance.md").read_text()


def test_row_03_no_element_is_null_or_empty(responses: list[dict[str, Any]], services: list[dict[str, Any]]) -> None:
    nothing_empty({"services": services})
    for response in responses:
        nothing_empty(response)


def test_row_04_extensions_are_passed_over_wherever_a_client_puts_them(
    call: Callable[..., TestResponse], store: Callable[..., Assessment]
) -> None:
    store()
    body = {**body_for(VIEW), "extension": {"com.example.flag": True}}
    assert len(call(VIEW, body).get_json()["cards"]) == 1


def test_row_05_06_07_08_discovery_is_an_object_with_services(services: list[dict[str, Any]]) -> None:
    assert len(services) == 3
    for row in services:
        assert {"hook", "description", "id", "title", "prefetch"} <= row.keys()


def test_row_09_each_hook_has_a_service_id_of_its_own(services: list[dict[str, Any]]) -> None:
    assert {row["id"]: row["hook"] for row in services} == HOOK


def test_row_10_11_12_13_prefetch_asks_simple_queries_with_simple_tokens(services: list[dict[str, Any]]) -> None:
    for row in services:
        for template in row["prefetch"].values():
            assert set(re.findall(r"\{\{(.*?)\}\}", template)) == {"context.patientId"}
            assert "draftOrders" not in template
            assert "selections" not in template
            assert re.fullmatch(r"Patient/\{\{context.patientId\}\}|[A-Z][A-Za-z]+\?[^ ]+", template)
            names = re.findall(r"[?&]([^=]+)=", template)
            assert set(names) <= {"patient", "code", "status", "_sort", "_count"}


@pytest.mark.parametrize("service", list(HOOK))
def test_row_14_26_a_call_is_a_post_answered_with_200_and_cards(
    call: Callable[..., TestResponse], client: FlaskClient, service: str
) -> None:
    response = call(service, body_for(service))
    assert response.status_code == 200
    assert response.get_json() == {"cards": []}
    assert client.get(f"/cds-services/{service}").status_code == 405


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place[name]
    del place[last]
    return copy


@pytest.mark.parametrize("path", ["hook", "hookInstance", "context"])
def test_row_15_what_every_call_needs_is_asked_for_by_name(call: Callable[..., TestResponse], path: str) -> None:
    response = call(VIEW, without(body_for(VIEW), path))
    assert response.status_code == 400
    assert path in response.text


@pytest.mark.parametrize(
    ("service", "path"),
    [
        *((service, path) for service in HOOK for path in ("context.userId", "context.patientId")),
        (SELECT, "context.selections"),
        (SELECT, "context.draftOrders"),
        (SIGN, "context.draftOrders"),
    ],
)
def test_row_23_24_25_what_a_hook_needs_is_asked_for_by_name(
    call: Callable[..., TestResponse], service: str, path: str
) -> None:
    response = call(service, without(body_for(service), path))
    assert response.status_code == 400
    assert path.rpartition(".")[2] in response.text


@pytest.mark.parametrize("order", UNFINISHED)
def test_row_24_25_orders_may_be_unfinished_fhir(
    call: Callable[..., TestResponse], store: Callable[..., Assessment], order: Any
) -> None:
    store()
    for service in (SELECT, SIGN):
        [card] = call(service, body_for(service, order)).get_json()["cards"]
        assert "vertebral fracture risk" in card["summary"]


def test_row_27_28_30_31_cards_are_short_safe_and_have_ids(responses: list[dict[str, Any]]) -> None:
    shown = [card for response in responses for card in response["cards"]]
    assert len(shown) >= 10
    for card in shown:
        assert 0 < len(card["summary"]) < 140
        assert card["indicator"] in {"info", "warning"}
        assert "<" not in card["detail"]
        assert str(uuid.UUID(card["uuid"])) == card["uuid"]


def test_row_29_36_sources_and_links_are_absolute(responses: list[dict[str, Any]]) -> None:
    for response in responses:
        for card in response["cards"]:
            assert card["source"]["label"]
            assert {"system", "code"} <= card["source"]["topic"].keys()
            for url in (card["source"]["url"], *(link["url"] for link in card["links"])):
                assert urlsplit(url).scheme in {"http", "https"}
                assert urlsplit(url).netloc
            for link in card["links"]:
                assert link["label"]
                assert link["type"] in {"absolute", "smart"}
    with pytest.raises(ValueError, match="appContext"):
        Link(label="x", url="https://x.example", app_context="{}")
    with pytest.raises(ValueError, match="icon"):
        Source(label="x", icon="icon.png")


def test_row_32_33_34_suggestions_are_whole(responses: list[dict[str, Any]]) -> None:
    offered = [card for response in responses for card in response["cards"] if "suggestions" in card]
    assert offered
    for card in offered:
        assert card["selectionBehavior"] in {"any", "at-most-one"}
        for suggestion in card["suggestions"]:
            assert suggestion["label"]
            assert suggestion["uuid"]
            for action in suggestion["actions"]:
                assert action["type"] == "create"
                assert action["description"]
                assert action["resource"]["resourceType"] == "ServiceRequest"
    with pytest.raises(ValueError, match="selectionBehavior"):
        Card.model_validate({**offered[0], "selectionBehavior": None})


def test_row_35_override_reasons_are_codings_with_a_text(responses: list[dict[str, Any]]) -> None:
    reasons = responses[0]["cards"][0]["overrideReasons"]
    assert len(reasons) >= 3
    assert all(set(row) == {"system", "code", "display"} for row in reasons)


def test_row_37_nothing_is_changed_by_itself(responses: list[dict[str, Any]]) -> None:
    assert all(set(response) == {"cards"} for response in responses)
    assert set(HookResponse.model_fields) == {"cards"}


FEEDBACK: dict[str, Any] = {
    "card": "5f0b6a4e-95a3-8000-8384-1d8646dc207b",
    "outcome": "accepted",
    "acceptedSuggestions": [{"id": "4bf48167-0000-4000-8000-698250639438"}],
    "outcomeTimestamp": "2026-11-22T10:38:04.335Z",
}


@pytest.mark.parametrize("service", list(HOOK))
def test_row_38_40_44_feedback_is_taken_in_batches_and_again(call: Callable[..., TestResponse], service: str) -> None:
    overridden = {**FEEDBACK, "outcome": "overridden", "overrideReason": {"userComment": "seen"}}
    for entries in ([FEEDBACK], [FEEDBACK, overridden, FEEDBACK], []):
        response = call(f"{service}/feedback", {"feedback": entries})
        assert (response.status_code, response.get_json()) == (200, {})


@pytest.mark.parametrize("name", ["card", "outcome", "outcomeTimestamp", "acceptedSuggestions"])
def test_row_39_feedback_without_what_it_needs_is_refused_by_name(name: str) -> None:
    with pytest.raises(NotAcceptable, match=name):
        read_feedback({"feedback": [without(FEEDBACK, name)]})


def test_row_41_42_discovery_is_protected_unless_the_site_opens_it(make_app: Callable[..., Flask]) -> None:
    assert make_app().test_client().get("/cds-services").status_code == 401
    opened = make_app({"cds": {"discovery": "open"}}).test_client()
    assert opened.get("/cds-services").status_code == 200
    assert opened.post(f"/cds-services/{VIEW}", json=body_for(VIEW)).status_code == 401


def test_row_43_46_several_clients_each_with_its_keys_algorithms_and_language(
    make_app: Callable[..., Flask],
    config: dict[str, Any],
    make_signer: Callable[..., Any],
    write_jwks: Callable[..., Path],
    put_into: Callable[..., Assessment],
    signer: Any,
) -> None:
    other = make_signer("https://other.example", "RS384")
    second = {
        "name": "other",
        "issuer": other.issuer,
        "jwks_file": str(write_jwks(other, name="other.json")),
        "algorithms": ["RS384"],
        "fhir_base_urls": [EHR],
        "language": "es",
    }
    app = make_app({"cds_clients": [config["cds_clients"][0], second]})
    put_into(app)

    def summary(by: Any, **claims: Any) -> str:
        token = by.token(f"{BASE}/cds-services/{VIEW}", **claims)
        headers = {"Authorization": f"Bearer {token}"}
        response = app.test_client().post(f"/cds-services/{VIEW}", json=body_for(VIEW), headers=headers)
        return str(response.get_json()["cards"][0]["summary"]) if response.status_code == 200 else response.status

    assert summary(signer).startswith("5-year vertebral")
    assert summary(other, sub="https://other.example", nbf=1).startswith("Riesgo de fractura")
    assert summary(other, iss=signer.issuer).startswith("401"), "one client's key does not speak for another"


def test_row_48_a_page_of_any_origin_may_call(call: Callable[..., TestResponse]) -> None:
    response = call(VIEW, body_for(VIEW), Origin="https://anywhere.example")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_every_row_of_the_table_names_tests_that_exist_and_none_is_left_out() -> None:
    table = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([0-9]+) \| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 49))
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for number, _, named, status in rows:
        names = re.findall(r"`(test_\w+)`", named)
        assert names, f"row {number} names no test"
        assert set(names) <= tests, f"row {number}: {set(names) - tests}"
        assert status.startswith(("done", "n/a")), f"row {number} is open without a reason"
