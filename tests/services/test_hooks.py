"""CDS Hooks as an EHR calls it. Numbers in names are rows of the requirements sheet."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from gateways.records.feedback import feedback
from schemas.assessment import Assessment
from schemas.fhir.full import validate
from services.outside import Outside
from tests.gateways.test_card_policy import changed

BASE = "http://127.0.0.1:8080"
EHR = "https://ehr.example/fhir"
VIEW, SELECT, SIGN = (f"vertebral-fracture-risk-{name}" for name in ("view", "order-select", "order-sign"))
HOOK = {VIEW: "patient-view", SELECT: "order-select", SIGN: "order-sign"}
# As the CDS Hooks Sandbox sends them: FHIR that no validator would let pass.
DRAFT = {
    "resourceType": "Bundle",
    "entry": [
        {"resource": {"resourceType": "ServiceRequest", "id": "r1", "code": {"coding": [{}]}, "reasonCode": []}},
        {"resource": {"resourceType": "MedicationRequest", "id": "r2", "category": {"coding": "x"}}},
    ],
}
Call = Callable[..., TestResponse]
Store = Callable[..., Assessment]


def body_for(service: str, patient: str = "p1", **changes: Any) -> dict[str, Any]:
    """A request as the sandbox sends it for the hook of `service`."""
    context: dict[str, Any] = {"patientId": patient, "userId": "Practitioner/d1"}
    if service != VIEW:
        context["draftOrders"] = DRAFT
    if service == SELECT:
        context["selections"] = ["ServiceRequest/r1"]
    prefetch = {"patient": {"resourceType": "Patient", "id": patient}, "dxa": {"resourceType": "Bundle", "total": 0}}
    body = {"hook": HOOK[service], "hookInstance": str(uuid.uuid4()), "fhirServer": EHR, "context": context}
    return {**body, "prefetch": prefetch, **changes}


@pytest.fixture
def call(client: FlaskClient, signer: Any) -> Call:
    """Posts JSON with a fresh token for exactly that address."""

    def post(path: str, body: Any, **headers: str) -> TestResponse:
        token = signer.token(f"{BASE}/cds-services/{path}")
        return client.post(f"/cds-services/{path}", json=body, headers={"Authorization": f"Bearer {token}", **headers})

    return post


def test_05_to_13_discovery_lists_three_services_with_one_id_per_hook(client: FlaskClient, signer: Any) -> None:
    token = signer.token(f"{BASE}/cds-services")
    response = client.get("/cds-services", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    services = response.get_json()["services"]
    assert {row["id"]: row["hook"] for row in services} == HOOK
    for row in services:
        assert row["title"]
        assert row["description"]
        assert row["prefetch"]["patient"] == "Patient/{{context.patientId}}"
        assert all(query.count("{{") == query.count("{{context.patientId}}") for query in row["prefetch"].values())


@pytest.mark.parametrize("service", [VIEW, SELECT, SIGN])
def test_26_to_31_each_hook_shows_the_stored_risk(call: Call, store: Store, service: str) -> None:
    made = store()
    assert made.risk is not None
    response = call(service, body_for(service))
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    [card] = response.get_json()["cards"]
    assert f"{100 * made.risk.risk:.1f} %" in card["summary"]
    assert len(card["summary"]) < 140
    assert card["indicator"] in {"info", "warning"}
    assert card["source"]["label"]
    assert uuid.UUID(card["uuid"])
    assert card["links"] == [
        {"label": card["links"][0]["label"], "url": f"{BASE}/models/lin2025-vbq-t", "type": "absolute"}
    ]
    for words in ("Research use", "does not replace", "-2.4", "4.1"):
        assert words in card["detail"]


def test_the_models_own_caution_is_on_the_card(call: Call, store: Store, outside: Outside) -> None:
    store()
    [card] = call(VIEW, body_for(VIEW)).get_json()["cards"]
    words = outside.models.active().artefact.caution.split()[:3]
    assert all(word in card["detail"] for word in words)


def test_a_missing_input_is_named(call: Call, store: Store) -> None:
    made = store(t_score=None)
    assert made.state == "incomplete"
    [card] = call(VIEW, body_for(VIEW)).get_json()["cards"]
    assert "T-score" in card["summary"]


def test_a_result_on_its_way_is_said(call: Call, client: FlaskClient, sender: dict[str, str]) -> None:
    client.put("/events/Patient/p1", json={"resourceType": "Patient", "id": "p1"}, headers=sender)
    [card] = call(VIEW, body_for(VIEW)).get_json()["cards"]
    assert card["indicator"] == "info"
    assert "on its way" in card["summary"]


def test_26_a_patient_nobody_told_us_of_gets_an_empty_list(call: Call, store: Store) -> None:
    store()
    response = call(VIEW, body_for(VIEW, "stranger"))
    assert response.status_code == 200
    assert response.get_json() == {"cards": []}


def test_a_patient_of_another_server_is_not_taken_for_ours(call: Call, store: Store) -> None:
    store()
    response = call(VIEW, body_for(VIEW, fhirServer="https://elsewhere.example/fhir"))
    assert response.status_code == 400
    assert "fhirServer" in response.get_json()["issue"][0]["diagnostics"]


def test_the_fhir_server_may_be_left_out_and_may_end_in_a_slash(call: Call, store: Store) -> None:
    store()
    body = body_for(VIEW)
    del body["fhirServer"]
    assert len(call(VIEW, body).get_json()["cards"]) == 1
    assert len(call(VIEW, body_for(VIEW, fhirServer=f"{EHR}/")).get_json()["cards"]) == 1


@pytest.mark.parametrize(
    ("service", "changes", "words"),
    [
        (VIEW, {"hook": "order-sign", "context": {"patientId": "p1", "userId": "u", "draftOrders": {}}}, "hook"),
        (VIEW, {"hookInstance": None}, "hookInstance"),
        (VIEW, {"context": {"userId": "Practitioner/d1"}}, "patientId"),
        (VIEW, {"context": {"patientId": "p1"}}, "userId"),
        (VIEW, {"context": {"patientId": "../p1", "userId": "u"}}, "patientId"),
        (VIEW, {"context": "p1"}, "context"),
        (SIGN, {"context": {"patientId": "p1", "userId": "u"}}, "draftOrders"),
        (SELECT, {"context": {"patientId": "p1", "userId": "u", "draftOrders": {}}}, "selections"),
    ],
)
def test_15_and_23_to_25_what_is_missing_is_a_400_that_names_it(
    call: Call, service: str, changes: dict[str, Any], words: str
) -> None:
    response = call(service, body_for(service, **changes))
    assert response.status_code == 400
    document = response.get_json()
    validate(document)
    assert words in str(document)
    assert "p1" not in str(document)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)],
)
def test_what_is_no_json_is_refused(client: FlaskClient, signer: Any, body: bytes, kind: str, status: int) -> None:
    token = signer.token(f"{BASE}/cds-services/{VIEW}")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    assert client.post(f"/cds-services/{VIEW}", data=body, headers=headers).status_code == status


def test_an_unknown_service_is_404(call: Call) -> None:
    assert call("something-else", body_for(VIEW)).status_code == 404
    assert call("something-else/feedback", {"feedback": []}).status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}])
def test_42_every_call_needs_a_token(client: FlaskClient, headers: dict[str, str]) -> None:
    answers = [
        client.get("/cds-services", headers=headers),
        client.post(f"/cds-services/{VIEW}", json=body_for(VIEW), headers=headers),
        client.post(f"/cds-services/{VIEW}/feedback", json={"feedback": []}, headers=headers),
    ]
    assert [response.status_code for response in answers] == [401, 401, 401]


def test_44_a_token_for_one_address_does_not_open_another(client: FlaskClient, signer: Any) -> None:
    token = signer.token(f"{BASE}/cds-services/{SIGN}")
    response = client.post(f"/cds-services/{VIEW}", json=body_for(VIEW), headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert "`aud`" in response.get_json()["issue"][0]["diagnostics"]


def test_44_the_host_header_does_not_decide_for_whom_a_token_is(client: FlaskClient, signer: Any) -> None:
    token = signer.token("http://elsewhere.example/cds-services")
    headers = {"Authorization": f"Bearer {token}", "Host": "elsewhere.example"}
    assert client.get("/cds-services", headers=headers).status_code == 401


def test_47_a_token_opens_once(client: FlaskClient, signer: Any) -> None:
    headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services')}"}
    assert [client.get("/cds-services", headers=headers).status_code for _ in range(2)] == [200, 401]


def test_48_a_browser_may_call_from_any_page_since_the_token_decides(client: FlaskClient) -> None:
    headers = {"Origin": "https://sandbox.example", "Access-Control-Request-Method": "POST"}
    preflight = client.options(f"/cds-services/{VIEW}", headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert client.get("/cds-services", headers=headers).headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in client.get("/fhir/metadata", headers=headers).headers


def test_in_development_only_pages_of_this_machine_and_of_configured_clients_may_call(
    make_app: Callable[..., Flask],
) -> None:
    client = make_app(dev_open=True).test_client()
    allowed = {
        origin: client.get("/cds-services", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")
        for origin in ("http://localhost:9000", "https://sandbox.example", "https://evil.example", "null", "http://[")
    }
    assert allowed == {
        "http://localhost:9000": "http://localhost:9000",
        "https://sandbox.example": "https://sandbox.example",
        "https://evil.example": None,
        "null": None,
        "http://[": None,
    }


def test_in_development_no_token_is_needed(make_app: Callable[..., Flask], put_into: Store) -> None:
    app = make_app(dev_open=True)
    put_into(app)
    response = app.test_client().post(f"/cds-services/{VIEW}", json=body_for(VIEW))
    assert len(response.get_json()["cards"]) == 1


def test_with_several_servers_the_fhir_server_says_whose_patient_is_meant(
    make_app: Callable[..., Flask], config: dict[str, Any], put_into: Store, signer: Any
) -> None:
    two = "https://two.example/fhir"
    senders = [config["senders"][0], {"name": "other", "bearer_sha256": "0" * 64, "fhir_base_url": two}]
    app = make_app({"senders": senders, "cds_clients": [{**config["cds_clients"][0], "fhir_base_urls": [EHR, two]}]})
    put_into(app, f"{EHR}/Patient/p1")

    def cards(**changes: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services/{VIEW}')}"}
        body = {key: value for key, value in body_for(VIEW, **changes).items() if value is not None}
        return app.test_client().post(f"/cds-services/{VIEW}", json=body, headers=headers)

    assert len(cards().get_json()["cards"]) == 1
    assert cards(fhirServer=two).get_json() == {"cards": []}
    assert cards(fhirServer=None).status_code == 400


def test_a_patient_of_a_server_that_no_sender_speaks_for_is_somebody_else(
    make_app: Callable[..., Flask], config: dict[str, Any], put_into: Store, signer: Any
) -> None:
    """p1 of the second EHR must not be shown p1 of the first, though events come from the first alone."""
    two, inside = "https://two.example/fhir", "http://ehr.internal.example/fhir"
    senders = [{**config["senders"][0], "base_aliases": [inside]}]
    client = {**config["cds_clients"][0], "fhir_base_urls": [EHR, two, inside]}
    app = make_app({"senders": senders, "cds_clients": [client]})
    put_into(app)

    def cards(server: str) -> int:
        headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services/{VIEW}')}"}
        body = body_for(VIEW, fhirServer=server)
        answer = app.test_client().post(f"/cds-services/{VIEW}", json=body, headers=headers)
        return len(answer.get_json()["cards"])

    assert [cards(server) for server in (EHR, f"{EHR}/", inside, two)] == [1, 1, 1, 0]


ENTRY = {
    "card": "1b371293-93f9-481e-ab3f-de96dad9c90f",
    "outcome": "overridden",
    "outcomeTimestamp": "2026-11-22T10:37:46.255Z",
    "overrideReason": {"reason": {"code": "already", "system": "http://example.org/or"}, "userComment": "seen"},
}


def kept(outside: Outside) -> list[Any]:
    with outside.database.read() as connection:
        return list(connection.execute(select(feedback)))


def test_38_to_40_feedback_is_kept_once_however_often_it_is_told(call: Call, outside: Outside) -> None:
    other = {**ENTRY, "outcome": "accepted", "acceptedSuggestions": [{"id": "s1"}]}
    for entries in ([ENTRY], [ENTRY, other, ENTRY], [other]):
        assert call(f"{VIEW}/feedback", {"feedback": entries}).status_code == 200
    rows = kept(outside)
    assert sorted(row.outcome for row in rows) == ["accepted", "overridden"]
    assert {(row.service, row.client) for row in rows} == {(VIEW, "sandbox")}
    assert b'"userComment":"seen"' in rows[0].body + rows[1].body


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "liked"}, {"outcomeTimestamp": "yesterday"}, {"card": None}, {"outcome": "accepted"}, {"card": "\0"}],
)
def test_39_feedback_that_says_nothing_is_refused_whole(call: Call, outside: Outside, changes: dict[str, Any]) -> None:
    response = call(f"{VIEW}/feedback", {"feedback": [ENTRY, {**ENTRY, **changes}]})
    assert response.status_code == 400
    assert "feedback" in str(response.get_json())
    assert kept(outside) == []


def overridden(shown: str, **changes: Any) -> dict[str, Any]:
    entry = {
        "card": shown,
        "outcome": "overridden",
        "outcomeTimestamp": "2026-11-22T10:37:46Z",
        "overrideReason": {"reason": {"code": "already-managed", "system": "https://vbq-cds.example/x"}},
    }
    return {"feedback": [{key: value for key, value in {**entry, **changes}.items() if value is not None}]}


def by(user: str, service: str = VIEW) -> dict[str, Any]:
    body = body_for(service)
    return {**body, "context": {**body["context"], "userId": user}}


def test_a_card_overridden_with_a_reason_stays_quiet_for_that_clinician_until_the_risk_class_changes(
    call: Call, store: Store
) -> None:
    store()
    [card] = call(VIEW, by("Practitioner/d1")).get_json()["cards"]
    assert call(f"{VIEW}/feedback", overridden(card["uuid"])).status_code == 200
    assert call(VIEW, by("Practitioner/d1")).get_json() == {"cards": []}
    assert len(call(VIEW, by("Practitioner/d2")).get_json()["cards"]) == 1, "another clinician still sees it"
    assert len(call(SIGN, by("Practitioner/d1", SIGN)).get_json()["cards"]) == 1, "an order is another matter"
    store(t_score=-2.5)
    assert call(VIEW, by("Practitioner/d1")).get_json() == {"cards": []}, "new numbers, the same class"
    store(t_score=-4.5, vbq=5.0)
    [card] = call(VIEW, by("Practitioner/d1")).get_json()["cards"]
    assert card["indicator"] == "warning"


def test_a_card_overridden_at_selection_stays_quiet_at_signing(call: Call, store: Store) -> None:
    store()
    [card] = call(SELECT, body_for(SELECT)).get_json()["cards"]
    call(f"{SELECT}/feedback", overridden(card["uuid"], overrideReason={"userComment": "seen last week"}))
    assert call(SIGN, body_for(SIGN)).get_json() == {"cards": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"overrideReason": None},
        {"outcome": "accepted", "acceptedSuggestions": [{"id": "s"}]},
        {"card": "ce4af444-b4f1-47d0-81a3-d972da413a9a"},
    ],
)
def test_feedback_without_a_reason_or_about_no_card_of_ours_silences_nothing(
    call: Call, store: Store, changes: dict[str, Any]
) -> None:
    store()
    [card] = call(VIEW, body_for(VIEW)).get_json()["cards"]
    assert call(f"{VIEW}/feedback", overridden(card["uuid"], **changes)).status_code == 200
    assert len(call(VIEW, body_for(VIEW)).get_json()["cards"]) == 1


def test_silence_ends_with_its_time(
    make_app: Callable[..., Flask], put_into: Store, signer: Any, tmp_path: Path
) -> None:
    policy = changed(tmp_path, lambda row: row.update(quiet_days=1e-7))
    app = make_app({"cds": {"policy_file": str(policy)}})
    put_into(app)
    client = app.test_client()

    def post(path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services/{path}')}"}
        return client.post(f"/cds-services/{path}", json=body, headers=headers).get_json()

    [card] = post(VIEW, body_for(VIEW))["cards"]
    post(f"{VIEW}/feedback", overridden(card["uuid"]))
    time.sleep(0.02)
    assert len(post(VIEW, body_for(VIEW))["cards"]) == 1


def test_feedback_is_tied_to_assessment_model_and_reason_and_counted(
    call: Call, store: Store, outside: Outside, client: FlaskClient
) -> None:
    made = store()
    [card] = call(VIEW, body_for(VIEW)).get_json()["cards"]
    for _ in range(3):
        call(f"{VIEW}/feedback", overridden(card["uuid"]))
    [row] = kept(outside)
    assert (row.assessment, row.patient, row.model_id, row.model_version, row.reason, row.phase) == (
        made.id,
        "Patient/p1",
        made.model.id,
        made.model.version,
        "already-managed",
        "chart",
    )
    assert "d1" not in row.clinician
    page = client.get("/metrics").text
    labels = f'hook="patient-view",model_version="{made.model.version}",outcome="overridden",reason="already-managed"'
    assert f"vbq_card_feedback_total{{{labels}}} 1.0" in page
    assert 'vbq_hook_calls_total{hook="patient-view",result="card",trigger="chart"} 1.0' in page
    assert "Patient/p1" not in page


def test_cards_speak_the_language_of_the_client(call: Call, store: Store) -> None:
    store()
    german = call(VIEW, body_for(VIEW), **{"Accept-Language": "de-DE,de;q=0.9"}).get_json()["cards"][0]
    assert german["summary"].startswith("Wirbelbruchrisiko in 5 Jahren")
    english = call(VIEW, body_for(VIEW)).get_json()["cards"][0]
    assert english["summary"].startswith("5-year vertebral fracture risk")
