"""What we made, read back as FHIR."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from schemas.assessment import Assessment
from schemas.fhir.full import validate
from schemas.fhir.results import resources_of

Store = Callable[..., Assessment]


def test_the_capability_statement_is_open_and_says_what_there_is(client: FlaskClient) -> None:
    response = client.get("/fhir/metadata")
    assert response.status_code == 200
    statement = response.get_json()
    validate(statement)
    assert {row["type"] for row in statement["rest"][0]["resource"]} == {
        "RiskAssessment",
        "Observation",
        "Device",
        "Provenance",
    }


def test_a_risk_assessment_is_found_by_its_patient_and_by_its_id(
    client: FlaskClient, sender: dict[str, str], store: Store
) -> None:
    made = store()
    store("Patient/p2", vbq=3.3)
    for stated in ("Patient/p1", "p1", "https://ehr.example/fhir/Patient/p1"):
        bundle = client.get("/fhir/RiskAssessment", query_string={"patient": stated}, headers=sender).get_json()
        validate(bundle)
        assert bundle["total"] == 1
        [entry] = bundle["entry"]
        assert entry["resource"]["id"] == made.id
        assert entry["fullUrl"].endswith(f"/fhir/RiskAssessment/{made.id}")
    read = client.get(f"/fhir/RiskAssessment/{made.id}", headers=sender)
    assert read.get_json() == entry["resource"]
    assert read.mimetype == "application/fhir+json"
    assert read.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("type_", ["RiskAssessment", "Observation", "Device", "Provenance"])
def test_every_type_can_be_searched_and_read(
    client: FlaskClient, sender: dict[str, str], store: Store, type_: str
) -> None:
    store()
    bundle = client.get(f"/fhir/{type_}", headers=sender).get_json()
    assert bundle["total"] >= 1
    resource = bundle["entry"][0]["resource"]
    assert client.get(f"/fhir/{type_}/{resource['id']}", headers=sender).get_json() == resource


def test_an_identifier_finds_its_resource(client: FlaskClient, sender: dict[str, str], store: Store) -> None:
    store()
    store("Patient/p2", vbq=3.3)
    first = client.get("/fhir/RiskAssessment?_count=1", headers=sender).get_json()["entry"][0]["resource"]
    identifier = first["identifier"][0]
    asked = {"identifier": f"{identifier['system']}|{identifier['value']}"}
    found = client.get("/fhir/RiskAssessment", query_string=asked, headers=sender).get_json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [first["id"]]


def test_pages_lead_to_each_other_and_hold_everything_once(
    client: FlaskClient, sender: dict[str, str], store: Store
) -> None:
    made = {store(f"Patient/p{number}", vbq=3 + number / 10).id for number in range(5)}
    url, seen = "/fhir/RiskAssessment?_count=2", []
    while url:
        bundle = client.get(url, headers=sender).get_json()
        assert bundle["total"] == 5
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        links = {row["relation"]: row["url"] for row in bundle["link"]}
        assert "self" in links
        url = links.get("next", "").partition("8080")[2]
    assert len(seen) == 5
    assert set(seen) == made


def test_an_empty_search_is_an_empty_bundle(client: FlaskClient, sender: dict[str, str]) -> None:
    bundle = client.get("/fhir/RiskAssessment?patient=Patient/nobody", headers=sender).get_json()
    validate(bundle)
    assert bundle["total"] == 0
    assert "entry" not in bundle


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("colour=red", 400),
        ("_count=many", 400),
        ("_count=-1", 400),
        ("patient=p1&patient=p2", 400),
        ("patient=Practitioner/d1", 400),
        ("patient=p1&subject=p1", 400),
        ("identifier=%00", 400),
        ("_format=xml", 406),
        ("_format=json", 200),
        ("_count=0", 200),
    ],
)
def test_a_question_that_is_not_understood_is_refused_and_not_answered_too_widely(
    client: FlaskClient, sender: dict[str, str], store: Store, query: str, status: int
) -> None:
    store()
    response = client.get(f"/fhir/RiskAssessment?{query}", headers=sender)
    assert response.status_code == status
    assert response.get_json()["resourceType"] == ("Bundle" if status == 200 else "OperationOutcome")


@pytest.mark.parametrize(
    "path", ["/fhir/RiskAssessment/nothing", "/fhir/RiskAssessment/%00", "/fhir/Patient/p1", "/fhir/Patient", "/fhir"]
)
def test_what_is_not_there_is_404(client: FlaskClient, sender: dict[str, str], path: str) -> None:
    assert client.get(path, headers=sender).status_code == 404


def test_nobody_unknown_reads(client: FlaskClient, store: Store, signer: Any) -> None:
    made = store()
    url = f"/fhir/RiskAssessment/{made.id}"
    assert client.get(url).status_code == 401
    assert client.get("/fhir/RiskAssessment").status_code == 401
    token = signer.token(f"http://127.0.0.1:8080{url}")
    assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_with_several_servers_each_sender_sees_its_own_patients(
    make_app: Callable[..., Flask], config: dict[str, Any], sender: dict[str, str], put_into: Store
) -> None:
    other = {"name": "other", "bearer_sha256": "0" * 64, "fhir_base_url": "https://two.example/fhir"}
    app = make_app({"senders": [config["senders"][0], other]})
    from_one, from_two = "https://ehr.example/fhir/Patient/p1", "https://two.example/fhir/Patient/p1"
    mine, theirs = (put_into(app, patient) for patient in (from_one, from_two))
    client = app.test_client()
    assert client.get(f"/fhir/RiskAssessment/{mine.id}", headers=sender).status_code == 200
    assert client.get(f"/fhir/RiskAssessment/{theirs.id}", headers=sender).status_code == 404
    for made, status in ((mine, 200), (theirs, 404)):
        for resource in resources_of(made):
            name = f"{resource['resourceType']}/{resource['id']}"
            expected = 200 if resource["resourceType"] == "Device" else status
            assert client.get(f"/fhir/{name}", headers=sender).status_code == expected, name
    found = client.get("/fhir/RiskAssessment?patient=Patient/p1", headers=sender).get_json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [mine.id]
    assert client.get(f"/fhir/RiskAssessment?patient={from_two}", headers=sender).status_code == 400
    assert client.get("/fhir/RiskAssessment", headers=sender).status_code == 400
