"""CDS Hooks messages: forgiving in what is read, strict in what is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.cds import (
    Action,
    Card,
    Coding,
    Discovery,
    HookResponse,
    Link,
    Service,
    Source,
    Suggestion,
    read_feedback,
    read_request,
)
from schemas.errors import NotAcceptable

Json = dict[str, Any]


def request(hook: str = "order-select", **changes: Any) -> Json:
    """As a browser-based client sends it, with an order that is not yet valid FHIR."""
    order = {"resourceType": "ServiceRequest", "id": "r1", "code": {"coding": [{}]}, "reasonCode": []}
    context: Json = {"patientId": "vfx-1", "userId": "Practitioner/x", **changes.pop("context", {})}
    if hook != "patient-view":
        context["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order}]}
    if hook == "order-select":
        context["selections"] = ["ServiceRequest/r1"]
    return {
        "hookInstance": "9922bd08-7d4b-4a1e-9b85-7f1fd5e64368",
        "hook": hook,
        "fhirServer": "http://127.0.0.1:8091/fhir",
        "context": context,
        **changes,
    }


def card(**changes: Any) -> Json:
    return {"uuid": "u", "summary": "s", "indicator": "info", "source": Source(label="l"), **changes}


@pytest.mark.parametrize("hook", ["patient-view", "order-select", "order-sign"])
def test_requests_of_the_three_hooks_are_read_though_their_orders_are_unfinished(hook: str) -> None:
    read = read_request(request(hook, prefetch={"patient": None, "dxa": {"resourceType": "OperationOutcome"}}))
    assert read.context.patient_id == "vfx-1"
    assert read.prefetch["patient"] is None


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "request.hook"),
        (request(hookInstance=None), "request.hookInstance"),
        (request(context={"patientId": "a/b"}), "request.context.patientId"),
        (request(context={"patientId": 3}), "request.context.patientId"),
        (request(context={"userId": ""}), "request.context.userId"),
        (request(fhirServer="file:///etc/passwd"), "request.fhirServer"),
        (request(prefetch=[]), "request.prefetch"),
        ({**request("patient-view"), "hook": "order-sign"}, "request"),
        ({**request("order-sign"), "hook": "order-select"}, "request"),
    ],
)
def test_a_wrong_member_is_named(document: Json, path: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        read_request(document)
    assert path in [issue.path for issue in caught.value.issues]


def test_the_token_of_a_request_is_not_held() -> None:
    token = {"access_token": "s3cr3t", "token_type": "Bearer", "expires_in": 300, "scope": "x", "subject": "y"}
    assert "s3cr3t" not in repr(read_request(request(fhirAuthorization=token)))


def test_what_is_sent_has_no_null_and_no_empty_members_but_the_lists_that_must_be_there() -> None:
    assert HookResponse().document() == {"cards": []}
    assert Discovery(services=[]).document() == {"services": []}
    sent = HookResponse(cards=[Card(**card(detail=""))]).document()
    assert sent == {"cards": [{"uuid": "u", "summary": "s", "indicator": "info", "source": {"label": "l"}}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": "x" * 140},
        {"summary": ""},
        {"indicator": "hard-stop"},
        {"source": {"label": "l", "url": "/relative"}},
        {"suggestions": [Suggestion(label="s")]},
        {"extra": 1},
    ],
)
def test_a_card_against_the_rules_cannot_be_made(changes: Json) -> None:
    with pytest.raises(ValidationError):
        Card(**card(**changes))


def test_a_link_has_app_context_only_for_smart() -> None:
    assert Link(label="l", url="https://x.example", type="smart", app_context="c").document()["appContext"] == "c"
    with pytest.raises(ValidationError):
        Link(label="l", url="https://x.example", app_context="c")


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
def test_an_action_has_what_its_type_needs(kind: Any) -> None:
    with pytest.raises(ValidationError):
        Action(type=kind, description="d")
    done = Action(type=kind, description="d", resource={"resourceType": "Task"}, resource_id="Task/1")
    assert done.document()["description"] == "d"


def test_names_are_those_of_the_specification() -> None:
    reason = Coding(system="https://x.example", code="c", display="d")
    sent = Card(**card(override_reasons=[reason], suggestions=[Suggestion(label="s")], selection_behavior="any"))
    assert {"overrideReasons", "selectionBehavior"} <= set(sent.document())
    service = Service(id="a-b", hook="order-sign", title="t", description="d", prefetch={"patient": "Patient/x"})
    assert Discovery(services=[service]).document()["services"][0]["prefetch"] == {"patient": "Patient/x"}


def feedback(**changes: Any) -> Json:
    return {
        "feedback": [{"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:38:04.335Z", **changes}]
    }


def test_feedback_is_read() -> None:
    (entry,) = read_feedback(feedback(overrideReason={"reason": {"code": "doubtful"}, "userComment": "x"})).feedback
    assert (entry.outcome, entry.override_reason is not None) == ("overridden", True)
    assert read_feedback({"feedback": []}).feedback == []


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "ignored"}, {"outcomeTimestamp": "now"}, {"card": ""}, {"outcome": "accepted"}, {"card": None}],
)
def test_wrong_feedback_is_refused(changes: Json) -> None:
    with pytest.raises(NotAcceptable):
        read_feedback(feedback(**changes))


def test_every_recorded_call_of_a_real_client_is_read(request: pytest.FixtureRequest) -> None:
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.FixtureLookupError:
        pytest.skip("the shared folder's fixture is not there")
    bodies = [json.loads(path.read_text())["body"] for path in sorted((shared / "cds-hooks/recorded").glob("POST*"))]
    calls = [body for body in bodies if "hook" in body]
    assert len(calls) >= 5
    assert {read_request(body).context.patient_id for body in calls} == {"vfx-1"}
    assert all(read_feedback(body).feedback for body in bodies if "feedback" in body)
