"""Events over HTTP: what is taken, what is refused, and what the sender hears."""

import hashlib
import hmac
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from schemas.errors import StoreUnavailable
from schemas.fhir.full import validate
from services.outside import Outside

PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1951-02-03"}
T_SCORE = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2023-12-01",
    "valueQuantity": {"value": -2.4, "system": "http://unitsofmeasure.org", "code": "{T-score}"},
}


def receipt(response: TestResponse) -> list[dict[str, Any]]:
    """The machine-readable receipt in the OperationOutcome."""
    document = json.loads(response.data)
    assert document["resourceType"] == "OperationOutcome"
    rows: list[dict[str, Any]] = json.loads(document["issue"][0]["diagnostics"])["receipt"]
    return rows


def bundle(type_: str, *resources: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {
            "fullUrl": f"https://ehr.example/fhir/{row['resourceType']}/{row['id']}",
            "resource": row,
            "request": {"method": "PUT", "url": f"{row['resourceType']}/{row['id']}"},
        }
        for row in resources
    ]
    return {"resourceType": "Bundle", "type": type_, "entry": entries}


def test_a_resource_is_on_disk_before_202_and_the_relay_is_told(
    client: FlaskClient, sender: dict[str, str], outside: Outside, woken: Any
) -> None:
    response = client.post("/events", json=T_SCORE, headers=sender)
    assert response.status_code == 202
    [row] = receipt(response)
    assert row["resource"] == "Observation/o1"
    assert row["repeat"] is False
    stored, body = outside.inbox.show(row["event"])
    assert (stored.source, stored.state) == ("engine", "pending")
    assert json.loads(body) == T_SCORE
    outside.waker.close()
    assert woken.rows == [("event", row["event"])]


def test_a_repeat_is_200_with_the_same_receipt_and_wakes_nobody(
    client: FlaskClient, sender: dict[str, str], outside: Outside, woken: Any
) -> None:
    first, second = (client.post("/events", json=T_SCORE, headers=sender) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 200)
    assert [row["event"] for row in receipt(first)] == [row["event"] for row in receipt(second)]
    assert receipt(second)[0]["repeat"] is True
    outside.waker.close()
    assert len(woken.rows) == 1


def test_a_put_is_answered_with_the_resource_as_hapi_wants_it(client: FlaskClient, sender: dict[str, str]) -> None:
    body = json.dumps(PATIENT).encode()
    for repeat in (False, True):
        response = client.put("/events/Patient/p1", data=body, headers=sender)
        assert response.status_code == 200
        assert response.data == body
        assert json.loads(response.headers["VBQ-Receipt"])["receipt"][0]["repeat"] is repeat


def test_a_delete_is_taken_without_a_body(client: FlaskClient, sender: dict[str, str], outside: Outside) -> None:
    response = client.delete("/events/Observation/o1", headers={"Authorization": sender["Authorization"]})
    assert response.status_code == 202
    assert outside.inbox.show(receipt(response)[0]["event"])[0].interaction == "delete"


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_bundle_gets_a_matching_response(client: FlaskClient, sender: dict[str, str], kind: str) -> None:
    response = client.post("/events", json=bundle(kind, PATIENT, T_SCORE), headers=sender)
    assert response.status_code == 202
    answer = json.loads(response.data)
    validate(answer)
    assert answer["type"] == f"{kind}-response"
    assert [entry["response"]["location"] for entry in answer["entry"]] == ["Patient/p1", "Observation/o1"]
    assert "receipt" in answer["entry"][0]["response"]["outcome"]["issue"][0]["diagnostics"]
    again = client.post("/events", json=bundle(kind, PATIENT, T_SCORE), headers=sender)
    assert again.status_code == 200
    assert [entry["response"]["status"] for entry in json.loads(again.data)["entry"]] == ["200 OK", "200 OK"]


def test_an_entry_that_is_not_used_still_has_its_place_in_the_response(
    client: FlaskClient, sender: dict[str, str]
) -> None:
    other = {"resourceType": "Practitioner", "id": "d1"}
    answer = client.post("/events", json=bundle("transaction", other, PATIENT), headers=sender).get_json()
    validate(answer)
    assert [entry["response"].get("location") for entry in answer["entry"]] == [None, "Patient/p1"]


def test_a_collection_gets_one_receipt_for_all_and_hears_what_was_not_used(
    client: FlaskClient, sender: dict[str, str]
) -> None:
    other = {"resourceType": "Practitioner", "id": "d1"}
    response = client.post("/events", json=bundle("collection", PATIENT, other, T_SCORE), headers=sender)
    assert response.status_code == 202
    assert [row["resource"] for row in receipt(response)] == ["Patient/p1", "Observation/o1"]
    assert json.loads(response.data)["issue"][1]["expression"] == ["Bundle.entry[1].resource"]
    validate(json.loads(response.data))


def test_a_message_gets_a_message_that_answers_it(client: FlaskClient, sender: dict[str, str]) -> None:
    header = {
        "resourceType": "MessageHeader",
        "id": "m1",
        "eventCoding": {"system": "https://example.org/events", "code": "imaging-available"},
        "source": {"endpoint": "urn:mirth:ris"},
    }
    message = {"resourceType": "Bundle", "type": "message", "timestamp": "2024-01-01T10:00:01Z"}
    entries = [{"fullUrl": f"https://x.example/{row['id']}", "resource": row} for row in (header, PATIENT)]
    response = client.post("/events", json={**message, "entry": entries}, headers=sender)
    assert response.status_code == 202
    answer = json.loads(response.data)
    validate(answer)
    first, second = (entry["resource"] for entry in answer["entry"])
    assert first["response"]["identifier"] == "m1"
    assert first["response"]["code"] == "ok"
    assert "Patient/p1" in second["issue"][0]["diagnostics"]


def test_a_signed_body_is_taken_and_a_changed_one_is_not(client: FlaskClient) -> None:
    body = json.dumps(PATIENT).encode()
    signature = hmac.new(b"s3cr3t", body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "Content-Type": "application/fhir+json"}
    assert client.post("/events", data=body, headers=headers).status_code == 202
    assert client.post("/events", data=body + b" ", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"X-Signature": "0" * 64}],
)
def test_nobody_unknown_gets_in(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.post("/events", json=PATIENT, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.get_json()["issue"][0]["code"] == "login"


def test_with_nothing_configured_everybody_is_kept_out(make_app: Callable[..., Flask]) -> None:
    client = make_app({"senders": [], "cds_clients": []}).test_client()
    headers = {"Authorization": "Bearer made-up-token"}
    assert client.post("/events", json=PATIENT, headers=headers).status_code == 401
    assert client.get("/cds-services", headers=headers).status_code == 401
    assert client.get("/fhir/RiskAssessment", headers=headers).status_code == 401


def test_a_sender_may_push_only_its_own_types(make_app: Callable[..., Flask], config: dict[str, Any]) -> None:
    narrowed = [{**config["senders"][0], "resource_types": ["Observation"]}]
    client = make_app({"senders": narrowed}).test_client()
    headers = {"Authorization": "Bearer made-up-token"}
    response = client.post("/events", json=bundle("collection", PATIENT, T_SCORE), headers=headers)
    assert [row["resource"] for row in receipt(response)] == ["Observation/o1"]
    assert "not among the types" in response.get_json()["issue"][1]["diagnostics"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "where"),
    [
        (b"", "application/json", 400, ""),
        (b"not json", "application/fhir+json", 400, ""),
        (b'{"resourceType":"Patient","id":"p1","id":"p2"}', "application/json", 400, ""),
        (b'{"resourceType":"Patient","x":' + b"[" * 300 + b"]" * 300 + b"}", "application/json", 400, ""),
        (b'{"resourceType":"Patient","x":NaN}', "application/json", 400, ""),
        (b"{}", "application/json", 422, "resourceType"),
        (b'{"resourceType":"Nonsense","id":"x"}', "application/json", 422, "resourceType"),
        (b'{"resourceType":"Bundle","type":"surprise"}', "application/json", 422, "Bundle.type"),
        (
            json.dumps(bundle("collection", PATIENT, {**T_SCORE, "status": "bogus"})).encode(),
            "application/json",
            422,
            "Bundle.entry[1].resource.status",
        ),
        (b"<Patient/>", "application/fhir+xml", 415, ""),
        (b"{}", "text/plain", 415, ""),
        (b"{}", "application/json; charset=latin-1", 415, ""),
    ],
)
def test_a_wrong_body_gets_an_outcome_that_names_the_place(
    client: FlaskClient, sender: dict[str, str], outside: Outside, body: bytes, kind: str, status: int, where: str
) -> None:
    response = client.post("/events", data=body, headers={**sender, "Content-Type": kind})
    assert response.status_code == status
    document = response.get_json()
    validate(document)
    assert document["issue"][0]["severity"] == "error"
    if where:
        assert document["issue"][0]["expression"] == [where]
    assert outside.inbox.stats()["accepted"] == 0


def test_a_compressed_body_is_refused(client: FlaskClient, sender: dict[str, str]) -> None:
    response = client.post("/events", data=b"x", headers={**sender, "Content-Encoding": "gzip"})
    assert response.status_code == 415


def test_a_large_body_is_refused_before_it_is_read(make_app: Callable[..., Flask], sender: dict[str, str]) -> None:
    client = make_app(max_body_bytes=2048).test_client()
    response = client.post("/events", data=b" " * 4096, headers=sender)
    assert response.status_code == 413
    assert "VBQ_MAX_BODY_BYTES" in response.get_json()["issue"][0]["diagnostics"]


def environ_of(body: bytes, **more: Any) -> dict[str, Any]:
    """What granian hands over for a POST: a stream that ends where the body ends."""
    builder = EnvironBuilder(path="/events", method="POST", content_type="application/json")
    environ = {**builder.get_environ(), "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, **more}
    return {name: value for name, value in environ.items() if value is not None}


def test_a_chunked_body_is_bounded_too(make_app: Callable[..., Flask]) -> None:
    app = make_app(dev_open=True, max_body_bytes=2048)
    patient = json.dumps(PATIENT).encode()
    answers = [run_wsgi_app(app, environ_of(body, CONTENT_LENGTH=None))[1] for body in (patient, patient + b" " * 4096)]
    assert answers == ["202 ACCEPTED", "413 REQUEST ENTITY TOO LARGE"]


def test_a_body_that_ends_too_early_is_refused(make_app: Callable[..., Flask]) -> None:
    app = make_app(dev_open=True)
    whole = json.dumps(PATIENT).encode() + b" " * 10
    assert run_wsgi_app(app, environ_of(whole[:-5], CONTENT_LENGTH=str(len(whole))))[1] == "400 BAD REQUEST"


def test_when_nothing_can_be_written_the_sender_hears_503_and_when_to_come_back(
    client: FlaskClient, sender: dict[str, str], outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with outside.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE inbox RENAME TO gone")
    response = client.post("/events", json=PATIENT, headers=sender)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    validate(response.get_json())
    assert StoreUnavailable.code == "store-unavailable"


def test_a_fault_of_ours_tells_nothing_of_the_patient(
    app: Flask,
    sender: dict[str, str],
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: object) -> None:
        raise ValueError("1951-02-03 Jane Doe")

    monkeypatch.setattr(type(outside.inbox), "accept", lambda self, events: fail(events))
    response = app.test_client().post("/events", json=PATIENT, headers=sender)
    assert response.status_code == 500
    assert "1951" not in response.text + caplog.text
    assert "ValueError" in caplog.text
    assert response.get_json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/events", 405), ("PUT", "/events", 405), ("GET", "/nowhere", 404), ("POST", "/healthz", 405)],
)
def test_every_error_is_an_outcome_and_never_html(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.mimetype == "application/fhir+json"
    validate(response.get_json())
    assert ("Allow" in response.headers) == (status == 405)


def test_in_development_everybody_on_this_machine_gets_in(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(dev_open=True).test_client()
    assert "AUTHENTICATION IS OFF" in caplog.text
    assert client.post("/events", json=PATIENT).status_code == 202
    assert client.post("/events", json=PATIENT, headers={"Host": "rebound.example"}).status_code == 400
