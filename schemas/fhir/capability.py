"""The CapabilityStatement: what GET /fhir can do, and nothing that it cannot."""

from collections.abc import Mapping
from typing import Any, Final

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
            "Read-only. Research use: not a cleared medical device.",
            "url": base_url,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "description": "A bearer token of a configured sender, or a JWT of a configured CDS client."
                },
                "resource": [_resource(kind, parameters) for kind, parameters in SEARCHES.items()],
            }
        ],
    }


def _resource(kind: str, parameters: tuple[str, ...]) -> Json:
    return {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "searchParam": [{"name": name, "type": _PARAMETER_TYPES[name]} for name in parameters],
    }
