"""Pieces that several resources are built of."""

import hashlib
import uuid
from typing import Any

from schemas.fhir import systems

Json = dict[str, Any]


def coding(system: str, code: str, display: str | None = None) -> Json:
    """A Coding; a display only where there is one."""
    row = {"system": system, "code": code}
    return {**row, "display": display} if display else row


def identifier_of(system: str, *parts: str) -> Json:
    """An Identifier whose value hashes `parts`: hex digits alone, nothing that a search would have to escape."""
    text = "\x1f".join(parts)
    return {"system": system, "value": hashlib.sha256(text.encode()).hexdigest()}


def named_id(identifier: Json) -> str:
    """The resource id for an identifier: UUIDv5 of its system and value."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{identifier['system']}|{identifier['value']}"))


def reference_to(resource: Json) -> Json:
    """A relative literal reference."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def ucum(value: float, unit: str, code: str | None = None) -> Json:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": systems.UCUM, "code": code or unit}


def range_of(low: float, high: float, unit: str) -> Json:
    """A Range in one unit."""
    return {"low": ucum(low, unit), "high": ucum(high, unit)}
