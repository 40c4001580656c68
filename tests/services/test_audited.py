"""Who was shown what is in the audit log, and nothing is shown that is not."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateways.audit.log import Audit
from schemas.audit import AuditRow
from schemas.errors import StoreUnavailable
from schemas.fhir.audit_event import audit_event
from schemas.fhir.full import validate
from services.outside import Outside
from tests.services.test_hooks import BASE, SIGN, body_for


@pytest.fixture
def call(client: FlaskClient, signer: Any) -> Callable[..., Any]:
    def post(patient: str = "p1", **changes: Any) -> Any:
        token = signer.token(f"{BASE}/cds-services/{SIGN}")
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(f"/cds-services/{SIGN}", json=body_for(SIGN, patient, **changes), headers=headers)

    return post


def rows(outside: Outside) -> list[AuditRow]:
    outside.audit.close()
    log = Audit(outside.database)
    assert log.verify().ok
    found = list(log.rows())
    for row in found:
        validate(audit_event(row, software="vbq-cds"))
    return found


def test_a_hook_call_says_who_saw_whose_result(outside: Outside, call: Callable[..., Any], store: Any) -> None:
    shown = store()
    assert call().status_code == 200
    (row,) = rows(outside)
    assert (row.actor_kind, row.actor, row.action) == ("cds-client", "sandbox", "cards-read")
    assert (row.patient, row.entity) == ("Patient/p1", f"RiskAssessment/{shown.id}")
    assert row.detail == {"hook": "order-sign", "user": "Practitioner/d1"}


def test_a_call_about_somebody_unknown_leaves_no_trace_of_her(outside: Outside, call: Callable[..., Any]) -> None:
    assert call("nobody").json == {"cards": []}
    assert rows(outside) == []


@pytest.mark.parametrize("user", ["Patient/p1", "RelatedPerson/r", "p1", "Practitioner/\x00", ""])
def test_a_user_who_is_the_patient_herself_is_not_named(
    outside: Outside, call: Callable[..., Any], store: Any, user: str
) -> None:
    store()
    context = {**body_for(SIGN)["context"], "userId": user}
    if call(context=context).status_code != 200:
        return  # refused for its user id: nothing was shown
    (row,) = rows(outside)
    assert "user" not in row.detail


def test_reads_and_searches_of_resources_are_recorded_also_where_nothing_is_found(
    outside: Outside, client: FlaskClient, sender: dict[str, str], store: Any
) -> None:
    shown = store()
    assert client.get(f"/fhir/RiskAssessment/{shown.id}", headers=sender).status_code == 200
    assert client.get("/fhir/RiskAssessment/none", headers=sender).status_code == 404
    assert client.get("/fhir/RiskAssessment?patient=Patient/p1", headers=sender).status_code == 200
    assert client.get("/fhir/Observation?patient=Patient/other", headers=sender).status_code == 200
    assert client.get("/fhir/Device", headers=sender).status_code == 200
    found = [(row.action, row.patient, row.entity, row.detail.get("found")) for row in rows(outside)]
    assert found == [
        ("resource-read", "Patient/p1", f"RiskAssessment/{shown.id}", None),
        ("resource-search", "Patient/p1", "RiskAssessment?patient=Patient%2Fp1", 1),
        ("resource-search", "Patient/other", "Observation?patient=Patient%2Fother", 0),
        ("resource-search", None, "Device?", 2),
    ]


def test_the_review_page_is_recorded(make_app: Callable[..., Flask], put_into: Any) -> None:
    app = make_app(dev_open=True)
    shown = put_into(app)
    assert app.test_client().get(f"/review/{shown.id}").status_code == 200
    (row,) = rows(app.extensions["outside"])
    assert (row.action, row.patient) == ("page-read", "Patient/p1")


def test_what_cannot_be_recorded_is_not_shown(
    outside: Outside, call: Callable[..., Any], store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store()

    def full(_: object) -> None:
        raise StoreUnavailable("the audit log cannot be written", code="audit-full", retry_after_s=5.0)

    monkeypatch.setattr(outside.audit, "note", full)
    answer = call()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "cards" not in answer.json
