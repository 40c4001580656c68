"""One resource as an event: its id, its version, its patient, and the bytes that are kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.errors import Issue, NotAcceptable
from schemas.events import RELEVANT_TYPES, IncomingEvent
from schemas.fhir import narrow
from schemas.fhir.reference import ID, as_own, patient_key, read_reference
from schemas.fhir.release5 import as_r4
from schemas.fhir.types import NOTIFICATION_TYPES, R4_TYPES

_NO_ID_NEEDED: Final = ("Observation", "Condition", "ImagingStudy", "Endpoint")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent it; see events_of."""

    source: str
    base: str | None
    several: bool
    arrival: str
    aliases: tuple[str, ...] = ()  # other URLs by which the sender's server calls its base
    types: frozenset[str] | None = None  # what it may push; None: every type that matters
    readable: bool = False  # whether we may read at its base
    delivery: str = ""  # the same for each attempt of one delivery; empty: the sender does not say

    @property
    def bases(self) -> tuple[str, ...]:
        """Every URL that means the sender's own FHIR base."""
        return (*([self.base] if self.base else []), *self.aliases)


def event(
    resource: dict[str, Any],
    path: str,
    sender: Sender,
    *,
    fallback_id: str | None,
    as_it_came: bytes | None = None,
    known: Mapping[str, str] = {},
    request: narrow.Request | None = None,
) -> IncomingEvent | Issue:
    resource_type: str = resource["resourceType"]
    if resource_type not in RELEVANT_TYPES:
        return irrelevant(resource_type, path)
    if (shaped := as_r4(resource)) is not resource:
        resource, as_it_came = shaped, None
    read = narrow.read(resource, path)
    resource_id = read.id or fallback_id or _derived_id(resource, path)
    _check_target(request, resource_type, resource_id, path)
    if read.id is None:
        resource = {**resource, "id": resource_id}
        as_it_came = None
    about = _patient_of(read, resource_id, path, sender, known)
    if isinstance(about, Issue):
        return about
    return IncomingEvent(
        source=sender.source,
        resource_type=resource_type,
        resource_id=resource_id,
        version=_stated_version(read) or digest(resource),
        patient=about,
        body=as_it_came or msgspec.json.encode(resource),
    )


def _stated_version(read: narrow.Known) -> str | None:
    return (read.meta.version_id or read.meta.last_updated) if read.meta else None


def digest(resource: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a resource's content: the same whatever the order of its keys and the white space."""
    return hashlib.sha256(msgspec.json.encode(resource, order="deterministic")).hexdigest()


def deletion(resource_type: str, resource_id: str, sender: Sender, *, version: str | None) -> IncomingEvent:
    key = patient_key(f"Patient/{resource_id}", sender.base, sender.several) if resource_type == "Patient" else None
    return IncomingEvent(
        source=sender.source,
        resource_type=resource_type,
        resource_id=resource_id,
        version=version or f"deleted-{sender.arrival}",
        interaction="delete",
        patient=key,
        body=b"",
    )


def type_of(document: Mapping[str, Any], path: str) -> str:
    found = document.get("resourceType")
    where = "resourceType" if path == "(root)" else f"{path}.resourceType"
    if not isinstance(found, str):
        raise refused(Issue(where, "Field required"))
    if found not in R4_TYPES and found not in NOTIFICATION_TYPES:
        raise refused(Issue(where, "is not a FHIR R4 resource type"), code="unknown-type")
    return found


def check_id(found: str, path: str) -> None:
    if not ID.fullmatch(found):
        raise refused(Issue(path, "an id is 1 to 64 letters, digits, - and ."))


def _patient_of(
    read: narrow.Known, resource_id: str, path: str, sender: Sender, known: Mapping[str, str]
) -> str | Issue | None:
    """The patient key, None where the resource is about no patient by nature, an Issue where it is about others."""
    if isinstance(read, narrow.Patient):
        return patient_key(f"Patient/{resource_id}", sender.base, sender.several)
    if isinstance(read, narrow.Endpoint):
        return None
    reference = read.subject.reference
    if reference is None:
        raise refused(Issue(f"{path}.subject.reference", "Field required: a literal reference to the Patient"))
    reference = as_own(known.get(reference, reference), sender.bases)
    try:
        return patient_key(reference, sender.base, sender.several)
    except NotAcceptable as error:
        literal = read_reference(reference)
        if literal is not None and literal.resource_type in R4_TYPES - {"Patient"}:
            return Issue(f"{path}.subject", f"is about a {literal.resource_type}, not a Patient")
        raise refused(Issue(f"{path}.subject.reference", error.detail), code=error.reason_code) from None


def _derived_id(resource: Mapping[str, Any], path: str) -> str:
    if resource["resourceType"] not in _NO_ID_NEEDED:
        raise refused(Issue(f"{path}.id", "Field required: nothing could refer to it otherwise"))
    return digest(resource)[:32]


def _check_target(request: narrow.Request | None, resource_type: str, resource_id: str, path: str) -> None:
    target = read_reference(request.url) if request is not None and request.method == "PUT" else None
    if target is not None and (target.resource_type, target.resource_id) != (resource_type, resource_id):
        raise refused(Issue(f"{path}.id", "is not the resource that request.url names"))


def irrelevant(resource_type: str, path: str | None = None) -> Issue:
    return Issue(path or resource_type, f"{resource_type} is not used here")


def refused(*issues: Issue, code: str = "not-fhir") -> NotAcceptable:
    shown = f"{issues[0].path}: {issues[0].text}"
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    return NotAcceptable(f"not acceptable: {shown}{more}", issues, code=code)
