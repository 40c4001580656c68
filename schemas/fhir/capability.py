"""The CapabilityStatement: what GET /fhir and POST /events can do, and nothing that they cannot."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.events import RELEVANT_TYPES

Json = dict[str, Any]

# FHIR's `date` is when the statement itself last changed: move it with SEARCHES.
LAST_CHANGED: Final = "2026-11-22"

_PARAMETER_TYPES: Final = {"patient": "reference", "subject": "reference", "identifier": "token"}
SEARCHES: Final[Mapping[str, tuple[str, ...]]] = {
    "RiskAssessment": ("patient", "subject", "identifier"),
    "Observation": ("patient", "subject", "identifier"),
    "Device": ("identifier",),
    "Provenance": ("patient",),
}


def capability_statement(base_url: str, software: str) -> Json:
    """What the server at `base_url` does. `software`: name and version, e.g. `vbq-cds 0.1.0`."""
    name, _, version = software.partition(" ")
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "experimental": True,
        "date": LAST_CHANGED,
        "kind": "instance",
        "software": {"name": name, **({"version": version} if version else {})},
        "implementation": {
            "description": "Vertebral fracture risk assessments made from MRI, DXA and laboratory values. "
            "Research use: not a cleared medical device.",
            "url": base_url,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [_results(), _events(f"{base_url.removesuffix('/fhir')}/events"), _client()],
        "messaging": [
            {
                "endpoint": [{"protocol": _HTTP, "address": f"{base_url.removesuffix('/fhir')}/events"}],
                "reliableCache": 0,
                "documentation": "Any event; a message Bundle is answered by a message Bundle whose MessageHeader says "
                "response.code ok. What is refused gets 422 and an OperationOutcome. A message that is sent twice has "
                "one effect.",
            }
        ],
    }


_HTTP: Final = {"system": "http://terminology.hl7.org/CodeSystem/message-transport", "code": "http"}


def _results() -> Json:
    """What is read at the base: what we made."""
    return {
        "mode": "server",
        "documentation": "What was made here, read-only, at implementation.url.",
        "security": {"description": "A bearer or access token of a configured sender, or a JWT of a CDS client."},
        "resource": [_resource(kind, parameters) for kind, parameters in SEARCHES.items()],
    }


def _events(address: str) -> Json:
    """What is taken at /events. It is not the base: nothing that was pushed can be read back there."""
    taken = [{"code": "create"}, {"code": "update"}, {"code": "delete"}]
    return {
        "mode": "server",
        "documentation": f"Events, at {address}: a resource by POST, PUT or DELETE; Bundles (transaction, batch, "
        "collection, message, history); notifications of Subscriptions (R4 rest-hook with and without payload, "
        "Backport for R4 and R4B, R5; handshake, heartbeat, empty, id-only, full-resource). 202 means written down "
        "durably, not processed; 200 that it was known. 429 and 503 carry Retry-After. A Bundle is taken whole or not "
        "at all.",
        "security": {
            "description": "Per sender: bearer token, OAuth2 access token (JWT), Standard Webhooks, or X-Signature "
            "(hex HMAC-SHA256 of the body)."
        },
        "resource": [
            {"type": kind, "interaction": taken, "versioning": "versioned", "updateCreate": True}
            for kind in RELEVANT_TYPES
        ],
        "interaction": [{"code": "transaction"}, {"code": "batch"}],
    }


def _client() -> Json:
    """What is asked of senders' servers where that is configured, and of the EHR that gets results."""
    asked = [{"code": "read"}, {"code": "search-type"}]
    return {
        "mode": "client",
        "documentation": "Reads what a notification names, searches by _lastUpdated for what it leaves out, asks "
        "Subscription/[id]/$events for events that did not come; sends results as transactions.",
        "resource": [{"type": kind, "interaction": asked} for kind in RELEVANT_TYPES],
        "interaction": [{"code": "transaction"}],
    }


def _resource(kind: str, parameters: tuple[str, ...]) -> Json:
    return {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "searchParam": [{"name": name, "type": _PARAMETER_TYPES[name]} for name in parameters],
    }
