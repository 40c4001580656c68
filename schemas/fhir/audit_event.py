"""A row of the audit log as a FHIR AuditEvent (R4B), after IHE's Basic Audit Log Patterns where one of them fits.

BALP: a read has the client as destination and the server as source; queries, creates, updates and deletes the other
way round. What is no RESTful act (a replay, a change of the model) is a DICOM "Application Activity".
"""

import base64
import uuid
from typing import Any, Final, NamedTuple

from schemas.audit import Action, AuditRow
from schemas.fhir import systems
from schemas.fhir.parts import coding
from schemas.fhir.reference import base_of, qualified, read_reference

Json = dict[str, Any]
BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
OWN_ACTION: Final = f"{systems.ROOT}/CodeSystem/audit-action"
AUDIT_ROW: Final = f"{systems.ROOT}/audit-row"
ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, AUDIT_ROW)


class _Kind(NamedTuple):
    """How an action is said: name in BALP (None: not RESTful), interaction, AuditEvent.action."""

    pattern: str | None
    interaction: str
    code: str


_KINDS: Final[dict[Action, _Kind]] = {
    "cards-read": _Kind("Read", "read", "R"),
    "resource-read": _Kind("Read", "read", "R"),
    "page-read": _Kind("Read", "read", "R"),
    "resource-search": _Kind("Query", "search", "E"),
    "resource-created": _Kind("Create", "create", "C"),
    "resource-updated": _Kind("Update", "update", "U"),
    "resource-deleted": _Kind("Delete", "delete", "D"),
    "result-created": _Kind("Create", "create", "C"),
    "result-superseded": _Kind("Update", "update", "U"),
    "result-withdrawn": _Kind("Update", "update", "U"),
    "result-sent": _Kind("Create", "create", "C"),
}
_DONE_BY_US: Final = frozenset({"result-created", "result-superseded", "result-withdrawn", "result-sent"})


def audit_event(row: AuditRow, *, software: str, host: str = "") -> Json:
    """`row` as an AuditEvent; the same row always gives the same resource. `host`: our name as clients see it.

    The log keeps no addresses of clients, so the networks that BALP asks for say that they are not known.
    """
    kind = _KINDS.get(row.action)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": str(uuid.uuid5(_NAMESPACE, f"{row.sequence}|{row.hash}")),
        "type": coding(DCM, "110100", "Application Activity"),
        "subtype": [coding(OWN_ACTION, row.action)],
        "action": kind.code if kind else "E",
        "recorded": row.recorded.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": "0" if row.outcome == "success" else "8",
        "agent": _agents(row, kind, software, host),
        "source": {
            "observer": {"display": software},
            "type": [coding(SOURCE_TYPE, "4", "Application Server")],
        },
    }
    if row.action == "login-failed":
        event["type"] = coding(DCM, "110114", "User Authentication")
        event["subtype"].insert(0, coding(DCM, "110122", "Login"))
    if kind is not None and kind.pattern is not None:
        event["type"] = coding(EVENT_TYPE, "rest", "RESTful Operation")
        event["subtype"].insert(0, coding(INTERACTION, kind.interaction, kind.interaction))
    event["entity"] = _entities(row, kind)
    if (profile := _profile(row, kind)) is not None:
        event["meta"] = {"profile": [profile]}
    return event


def _profile(row: AuditRow, kind: _Kind | None) -> str | None:
    """The pattern that it follows: they are of what succeeded, and name the patient where there is one."""
    if kind is None or kind.pattern is None or row.outcome != "success" or row.erased:
        return None
    if kind.pattern != "Query" and row.entity is None:
        return None  # nothing was read: a call about somebody of whom there is no result
    return f"{BALP}.{'Patient' if row.patient else ''}{kind.pattern}"


def _network(name: str, software: str, host: str) -> Json:
    if name == software and host:
        return {"address": host, "type": "1"}  # a machine's name
    return {"_address": {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}}


def _agents(row: AuditRow, kind: _Kind | None, software: str, host: str) -> list[Json]:
    """The client and the server of the act, and the user whom the client named."""
    source = coding(DCM, "110153", "Source Role ID")
    destination = coding(DCM, "110152", "Destination Role ID")
    reads = kind is not None and kind.pattern == "Read"
    ours = row.action in _DONE_BY_US
    names = (software, str(row.detail.get("to") or software)) if ours else (row.actor, software)
    user = row.detail.get("user")
    client = {
        "type": {"coding": [destination if reads else source]},
        "who": {"display": names[0]},
        "name": names[0],
        "requestor": user is None,
        "network": _network(names[0], software, host),
    }
    server = {
        "type": {"coding": [source if reads else destination]},
        "who": {"display": names[1]},
        "requestor": False,
        "network": _network(names[1], software, host),
    }
    if kind is None:
        return [{"who": {"display": row.actor}, "name": row.actor, "requestor": True}]
    if user is None:
        return [client, server]
    information_recipient = coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
    person = {"type": {"coding": [information_recipient]}, "who": {"display": str(user)}, "requestor": True}
    return [client, server, person]


def _entities(row: AuditRow, kind: _Kind | None) -> list[Json]:
    chain: Json = {
        "what": {"identifier": {"system": AUDIT_ROW, "value": f"{row.sequence}"}},
        "type": coding(ENTITY_TYPE, "4", "Other"),
        "name": f"row {row.sequence} of the audit log",
        "description": "whom it was about was erased" if row.erased else f"SHA-256 {row.hash}",
        **(
            {"detail": [{"type": key, "valueString": _said(value)} for key, value in row.detail.items()]}
            if row.detail
            else {}
        ),
    }
    found: list[Json] = [chain]
    if row.patient is not None:
        patient: Json = {
            "what": {"reference": row.patient},
            "type": coding(ENTITY_TYPE, "1", "Person"),
            "role": coding(OBJECT_ROLE, "1", "Patient"),
        }
        found.append(patient)
    if row.entity is None:
        return found
    if kind is not None and kind.pattern == "Query":
        query = {
            "type": coding(ENTITY_TYPE, "2", "System Object"),
            "role": coding(OBJECT_ROLE, "24", "Query"),
            "query": base64.b64encode(row.entity.encode()).decode(),
        }
        return [*found, query]
    literal = read_reference(row.entity)
    what: Json = (
        {"reference": qualified(row.entity, base_of(row.patient or ""))} if literal else {"display": row.entity}
    )
    if literal is not None and literal.resource_type in ("RiskAssessment", "Provenance", "Device"):
        what = {"reference": row.entity}  # ours, whatever the patient's server
    data = {
        "what": what,
        "type": coding(ENTITY_TYPE, "2", "System Object"),
        "role": coding(OBJECT_ROLE, "4", "Domain Resource"),
    }
    return [*found, data]


def _said(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
