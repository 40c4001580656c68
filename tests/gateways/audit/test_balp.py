"""AuditEvents against what IHE's Basic Audit Log Patterns demand (ITI BALP, its FSH sources), checked by hand.

No validator of FHIR profiles is at hand: each constraint of the profiles is written down here as it is read there.
"""

import datetime as dt
from typing import Any

import pytest

from schemas.audit import AuditRow
from schemas.fhir.audit_event import ABSENT, BALP, DCM, ENTITY_TYPE, EVENT_TYPE, INTERACTION, OBJECT_ROLE, audit_event
from schemas.fhir.full import validate

Json = dict[str, Any]
SOURCE, DESTINATION = "110153", "110152"
# profile: subtype, action, DICOM role of the client and of the server
PROFILES = {
    "Read": ("read", "R", DESTINATION, SOURCE),
    "Query": ("search", "E", SOURCE, DESTINATION),
    "Create": ("create", "C", SOURCE, DESTINATION),
    "Update": ("update", "U", SOURCE, DESTINATION),
    "Delete": ("delete", "D", SOURCE, DESTINATION),
}
CASES = [
    ("cards-read", {"detail": {"hook": "order-sign", "user": "Practitioner/d1"}}, "PatientRead"),
    ("cards-read", {}, "PatientRead"),
    ("page-read", {}, "PatientRead"),
    ("resource-read", {"entity": "Device/d", "patient": None}, "Read"),
    ("resource-search", {"entity": "RiskAssessment?patient=Patient%2Fp1", "detail": {"found": 1}}, "PatientQuery"),
    ("resource-search", {"entity": "Device?", "patient": None}, "Query"),
    ("resource-created", {"actor_kind": "sender", "entity": "Observation/o1"}, "PatientCreate"),
    ("resource-updated", {"actor_kind": "sender", "entity": "Observation/o1"}, "PatientUpdate"),
    ("resource-deleted", {"actor_kind": "sender", "entity": "Observation/o1"}, "PatientDelete"),
    ("result-created", {"actor_kind": "system", "actor": "worker"}, "PatientCreate"),
    ("result-withdrawn", {"actor_kind": "system", "actor": "worker"}, "PatientUpdate"),
    ("result-sent", {"actor_kind": "system", "actor": "worker", "detail": {"to": "ehr"}}, "PatientCreate"),
]


def row(action: str, **changes: Any) -> AuditRow:
    whole: Json = {
        "actor_kind": "cds-client",
        "actor": "ehr-1",
        "action": action,
        "patient": "Patient/p1",
        "entity": "RiskAssessment/r1",
        "sequence": 7,
        "recorded": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
        "erased": False,
        "hash": "0" * 64,
        **changes,
    }
    return AuditRow(**whole)


def said(concept: Json) -> tuple[str, str]:
    return concept["system"], concept["code"]


def one(rows: list[Json]) -> Json:
    (found,) = rows
    return found


def entities(event: Json, kind: str) -> list[Json]:
    return [found for found in event["entity"] if said(found["type"]) == (ENTITY_TYPE, kind)]


def agents(event: Json, code: str) -> list[Json]:
    rows = [(agent, said(agent["type"]["coding"][0])) for agent in event["agent"] if "type" in agent]
    return [agent for agent, (_, found) in rows if found == code]


@pytest.mark.parametrize(("action", "changes", "profile"), CASES)
def test_what_claims_a_profile_has_all_that_the_profile_demands(action: str, changes: Json, profile: str) -> None:
    event = audit_event(row(action, **changes), software="vbq-cds 1", host="vbq.example")
    validate(event)
    assert event["meta"]["profile"] == [f"{BALP}.{profile}"]
    pattern = profile.removeprefix("Patient")
    interaction, code, client_role, server_role = PROFILES[pattern]
    assert said(event["type"]) == (EVENT_TYPE, "rest")
    assert (INTERACTION, interaction) in [said(subtype) for subtype in event["subtype"]]
    assert next(row["display"] for row in event["subtype"] if row["system"] == INTERACTION) == interaction
    assert (event["action"], event["outcome"]) == (code, "0")
    assert event["recorded"] == "2026-03-01T12:00:00.000Z"
    assert event["source"]["observer"]["display"] == "vbq-cds 1"
    assert len(event["agent"]) >= 2
    for role in (client_role, server_role):
        agent = one(agents(event, role))
        assert said(agent["type"]["coding"][0]) == (DCM, role)
        assert agent["who"]
        assert agent["network"]
        assert "media" not in agent
    assert sum(agent["requestor"] for agent in event["agent"]) == 1
    check_data(event, pattern)
    people = entities(event, "1")
    assert len(people) == (1 if profile.startswith("Patient") else 0)
    for person in people:
        assert said(person["role"]) == (OBJECT_ROLE, "1")
        assert person["what"]["reference"].split("/")[-2] == "Patient"


def check_data(event: Json, pattern: str) -> None:
    found = one(entities(event, "2"))
    if pattern == "Query":
        assert said(found["role"]) == (OBJECT_ROLE, "24")
        assert found["query"]
        assert not {"what", "lifecycle", "detail"} & set(found)
    else:
        assert said(found["role"]) == (OBJECT_ROLE, "4")
        assert found["what"]["reference"]


def test_a_user_is_the_one_who_asked_and_no_machine() -> None:
    event = audit_event(row("cards-read", detail={"user": "Practitioner/d1"}), software="vbq-cds 1")
    user = one(agents(event, "IRCP"))
    assert (user["requestor"], user["who"]) == (True, {"display": "Practitioner/d1"})
    assert not {"network", "media"} & set(user)


def test_a_network_that_nobody_wrote_down_says_so() -> None:
    event = audit_event(row("cards-read"), software="vbq-cds 1", host="vbq.example")
    assert one(agents(event, SOURCE))["network"] == {"address": "vbq.example", "type": "1"}
    absent = one(agents(event, DESTINATION))["network"]["_address"]["extension"]
    assert absent == [{"url": ABSENT, "valueCode": "unknown"}]


def test_a_failed_login_is_a_user_authentication_of_nobody_we_know() -> None:
    changes = {"actor_kind": "stranger", "actor": "address 0123456789ab", "outcome": "failure", "entity": None}
    detail = {"door": "events", "count": 40, "seconds": 60}
    event = audit_event(row("login-failed", patient=None, detail=detail, **changes), software="vbq-cds 1")
    validate(event)
    assert (said(event["type"]), said(event["subtype"][0])) == ((DCM, "110114"), (DCM, "110122"))
    assert event["outcome"] == "8"
    assert [row["valueString"] for row in event["entity"][0]["detail"]] == ["events", "40", "60"]


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("erased", {"actor_kind": "command"}),
        ("model-changed", {"actor_kind": "command", "patient": None, "entity": None}),
        ("cards-read", {"outcome": "failure"}),  # the patterns are of what succeeded
        ("cards-read", {"erased": True, "patient": None}),
        ("cards-read", {"entity": None}),
    ],
)
def test_what_no_profile_is_for_claims_none(action: str, changes: Json) -> None:
    event = audit_event(row(action, **changes), software="vbq-cds 1")
    validate(event)
    assert "meta" not in event
