"""What a validator of CDS Hooks, or an odd EHR, may send: answered as it should be, and never with what was sent."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from schemas.assessment import Assessment
from tests.services.conformance.test_rows import body_for

VIEW, SELECT, SIGN = (f"vertebral-fracture-risk-{name}" for name in ("view", "order-select", "order-sign"))
GONE = object()
LENT = {"access_token": "canary", "token_type": "Bearer", "expires_in": 60, "scope": "x", "subject": "y"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
EMPTY = {"resourceType": "Bundle", "type": "collection"}
ODD_ORDERS: list[Any] = [
    EMPTY,
    {**EMPTY, "entry": []},
    {**EMPTY, "entry": None},
    {**EMPTY, "entry": [None, 7, {}, {"resource": None}, {"resource": []}]},
    {**EMPTY, "entry": {"resource": {"resourceType": "ServiceRequest"}}},
    {**EMPTY, "entry": [{"resource": {"resourceType": 7, "code": "x"}}]},
    {},
]


@pytest.fixture
def open_client(make_app: Callable[..., Flask], put_into: Callable[..., Assessment]) -> FlaskClient:
    app = make_app(dev_open=True, max_body_bytes=2_000_000)
    put_into(app)
    return app.test_client()


def changed(service: str, place: str, value: Any) -> dict[str, Any]:
    """A good request with the member at `place` (with dots) put in place by `value`, or taken out (GONE)."""
    body: dict[str, Any] = json.loads(json.dumps(body_for(service)))
    *path, last = place.split(".")
    at: Any = body
    for name in path:
        at = at[name]
    if value is GONE:
        at.pop(last, None)
    else:
        at[last] = value
    return body


def any_of(*values: Any) -> tuple[Any, ...]:
    return values


TAKEN: list[tuple[str, str, Any]] = [
    *((VIEW, "prefetch", value) for value in any_of(GONE, None, {}, {"patient": None}, {"patient": OUTCOME})),
    *((VIEW, "prefetch", {"dxa": value}) for value in any_of(EMPTY, OUTCOME, [], "x", {**EMPTY, "entry": [{}]}, 7)),
    (VIEW, "prefetch", {"not-one-of-ours": {"resourceType": "Patient"}}),
    (VIEW, "fhirAuthorization", GONE),
    (VIEW, "fhirServer", GONE),
    (VIEW, "unknown", {"deep": [1, {"x": None}]}),
    (VIEW, "extension", {"com.example": {"a": 1}}),
    (VIEW, "context.unknown", "x" * 1_000_000),
    (VIEW, "context.encounterId", "e1"),
    (VIEW, "context.userId", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
    *((SIGN, "context.draftOrders", value) for value in ODD_ORDERS),
    (SELECT, "context.selections", []),
    (SELECT, "context.selections", ["ServiceRequest/not-in-the-draft", "x"]),
    (SIGN, "context.selections", ["ServiceRequest/r1"]),
]
REFUSED: list[tuple[str, str, Any]] = [
    *(
        (VIEW, "hook", value)
        for value in any_of(GONE, None, "", "order-sign", "Patient-View", "patient-view ", 7, ["x"])
    ),
    *((VIEW, "hookInstance", value) for value in any_of(GONE, None, "", 7, "x" * 65)),
    *((VIEW, "context", value) for value in any_of(GONE, None, [], "canary", {})),
    *(
        (VIEW, "context.patientId", value)
        for value in any_of(GONE, None, "", "Patient/canary", 7, "canary canary", "x" * 65)
    ),
    *((VIEW, "context.userId", value) for value in any_of(GONE, None, "", 7)),
    (VIEW, "context.encounterId", 7),
    *((VIEW, "prefetch", value) for value in any_of([], "canary", 7)),
    *((VIEW, "fhirServer", value) for value in any_of(7, "", "canary", "ftp://canary.example/fhir")),
    *((VIEW, "fhirAuthorization", value) for value in any_of([], "canary", {}, {**LENT, "expires_in": None})),
    *((SIGN, "context.draftOrders", value) for value in any_of(GONE, None, [], "canary")),
    *((SELECT, "context.selections", value) for value in any_of(GONE, None, "canary", [7], [None])),
]


def test_what_is_odd_but_allowed_gets_its_cards(open_client: FlaskClient) -> None:
    for service, place, value in TAKEN:
        answer = open_client.post(f"/cds-services/{service}", json=changed(service, place, value))
        assert answer.status_code == 200, (service, place, str(value)[:80], answer.text)
        assert isinstance(answer.get_json()["cards"], list)


def test_what_is_wrong_is_a_400_that_names_the_place_and_repeats_nothing(open_client: FlaskClient) -> None:
    for service, place, value in REFUSED:
        answer = open_client.post(f"/cds-services/{service}", json=changed(service, place, value))
        assert answer.status_code == 400, (service, place, value)
        outcome = answer.get_json()
        assert outcome["resourceType"] == "OperationOutcome"
        assert place.rpartition(".")[2] in answer.text or place.partition(".")[0] in answer.text, (place, answer.text)
        assert "canary" not in answer.text


def test_an_authorization_needs_its_server(open_client: FlaskClient) -> None:
    body = {**changed(VIEW, "fhirServer", GONE), "fhirAuthorization": LENT}
    answer = open_client.post(f"/cds-services/{VIEW}", json=body)
    assert (answer.status_code, "canary" in answer.text) == (400, False)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('application/json;charset="UTF-8"', 200),
        ("application/json; profile=x; charset=UTF-8", 200),
        ("application/fhir+json", 200),
        ("APPLICATION/JSON", 200),
        ("application/json; charset=iso-8859-1", 415),
        ("text/json", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_types_of_bodies(open_client: FlaskClient, kind: str, status: int) -> None:
    answer = open_client.post(f"/cds-services/{VIEW}", data=json.dumps(body_for(VIEW)), content_type=kind)
    assert answer.status_code == status
    if status != 200:
        assert answer.get_json()["resourceType"] == "OperationOutcome"


def test_bodies_that_are_no_json_object(open_client: FlaskClient) -> None:
    whole = json.dumps(body_for(VIEW)).encode()
    bodies = [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        whole[:-1],
        whole + b"x",
        b"\xef\xbb\xbf" + whole,
        b"\xff" + whole,
    ]
    bodies += [b'{"a":NaN}', b"{'hook':1}", b'{"hook":"\xff"}', b"[" * 5000, b'{"a":' * 200 + b"1" + b"}" * 200]
    for body in bodies:
        answer = open_client.post(f"/cds-services/{VIEW}", data=body, content_type="application/json")
        assert answer.status_code == 400, body[:30]
        assert answer.get_json()["resourceType"] == "OperationOutcome"
    too_large = open_client.post(f"/cds-services/{VIEW}", json=changed(VIEW, "x", "x" * 2_100_000))
    assert too_large.status_code == 413


def test_of_two_members_with_one_name_the_last_counts_as_in_a_browser(open_client: FlaskClient) -> None:
    text = json.dumps(body_for(VIEW))
    twice = '{"hook":"order-sign",' + text[1:]
    answer = open_client.post(f"/cds-services/{VIEW}", data=twice, content_type="application/json")
    assert answer.status_code == 200
    answer = open_client.post(
        f"/cds-services/{VIEW}", data=text[:-1] + ',"hook":"order-sign"}', content_type="application/json"
    )
    assert answer.status_code == 400


def test_other_methods_and_addresses(open_client: FlaskClient) -> None:
    assert (open_client.head("/cds-services").status_code, open_client.head("/cds-services").data) == (200, b"")
    assert open_client.options(f"/cds-services/{VIEW}").status_code == 200
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = open_client.open(f"/cds-services/{VIEW}", method=method)
        assert (answer.status_code, "POST" in answer.headers["Allow"]) == (405, True)
    assert open_client.post("/cds-services", json=body_for(VIEW)).status_code == 405
    for path in (
        "/cds-services/",
        f"/cds-services/{VIEW}/",
        f"/cds-services/{VIEW}/x",
        "/cds-services/nothing",
        "/cds-services/%00",
    ):
        answer = open_client.post(path, json=body_for(VIEW))
        assert answer.status_code == 404, path
        assert answer.get_json()["resourceType"] == "OperationOutcome"


def test_both_ways_to_a_service_say_the_same(open_client: FlaskClient) -> None:
    """A browser's call (with an Origin) goes by Flask, an EHR's past it (services/lane.py)."""
    for service, place, value in [(VIEW, "unknown", 1), (SIGN, "unknown", 1), *REFUSED[:6]]:
        body = changed(service, place, value)
        short = open_client.post(f"/cds-services/{service}", json=body)
        flask = open_client.post(f"/cds-services/{service}", json=body, headers={"Origin": "http://127.0.0.1:9000"})
        assert (short.status_code, short.data, short.mimetype) == (flask.status_code, flask.data, flask.mimetype)
        named = {
            name: text
            for name, text in flask.headers.items()
            if not name.startswith("Access-Control") and name != "Vary"
        }
        assert dict(short.headers.items()) == named


def test_odd_feedback(open_client: FlaskClient) -> None:
    entry = {"card": str(uuid.uuid4()), "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:38:04Z"}
    good: list[Any] = [[], [entry], [entry, entry], [{**entry, "card": str(uuid.uuid4())} for _ in range(500)]]
    good += [
        [{**entry, "unknown": 1, "overrideReason": {}}],
        [{**entry, "outcomeTimestamp": "2026-11-22T10:38:04.123+02:00"}],
    ]
    for rows in good:
        answer = open_client.post(f"/cds-services/{VIEW}/feedback", json={"feedback": rows})
        assert answer.status_code == 200, rows[:1]
    wrong: list[Any] = [None, {}, "canary", [None], ["canary"], [{}]]
    changes: list[dict[str, Any]] = [
        {"outcome": "canary"},
        {"outcome": "accepted"},
        {"outcomeTimestamp": "2026-11-22"},
        {"outcomeTimestamp": "2026-11-22T10:38:04"},
        {"card": ""},
        {"card": 7},
        {"overrideReason": "canary"},
        {"overrideReason": {"userComment": "canary" * 1000}},
    ]
    wrong += [[{**entry, **change}] for change in changes]
    for rows in wrong:
        answer = open_client.post(f"/cds-services/{VIEW}/feedback", json={"feedback": rows})
        assert (answer.status_code, "canary" in answer.text) == (400, False), rows
