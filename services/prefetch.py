"""Prefetch as it comes: which templates were satisfied, and what is in them. Pure.

A missing key was not provided, null means that there is no data, an OperationOutcome that the EHR's own query failed
(requirements 19 and 20). A first page without the following ones counts as not satisfied where it can be fetched.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from gateways.fhir.ehr_reads import Read, entries_of, next_page
from schemas.errors import NotAcceptable
from schemas.events import IncomingEvent
from schemas.fhir.resource_event import Sender, event

Json = dict[str, Any]
FACT_TYPES = ("Patient", "Observation", "Condition")
MOST_RESOURCES = 500


class Sent(NamedTuple):
    """What came under one key. `whole`: nothing more is there to be had."""

    resources: tuple[Json, ...]
    whole: bool


def sent(prefetch: Mapping[str, Any], key: str) -> Sent | None:
    """What the EHR sent under `key`; None where it sent nothing that can be read."""
    if key not in prefetch:
        return None
    value = prefetch[key]
    if value is None:
        return Sent((), whole=True)
    if not isinstance(value, dict) or value.get("resourceType") in (None, "OperationOutcome"):
        return None
    if value["resourceType"] != "Bundle":
        return Sent((value,), whole=True)
    found = entries_of(value)
    if any(row.get("resourceType") == "OperationOutcome" for row in found) and len(found) == 1:
        return None
    return Sent(tuple(found[:MOST_RESOURCES]), whole=next_page(value) is None)


def lacking(prefetch: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Those of `keys` that would have to be fetched."""
    return [key for key in keys if (found := sent(prefetch, key)) is None or not found.whole]


class Gathered(NamedTuple):
    """What was sent and fetched, by key; `problems`: why a key could not be had, or not all of it."""

    resources: Mapping[str, tuple[Json, ...]]
    problems: Mapping[str, str]


def gather(prefetch: Mapping[str, Any], keys: Iterable[str], fetched: Mapping[str, Read]) -> Gathered:
    """Put together what came with the call and what was fetched for it."""
    resources: dict[str, tuple[Json, ...]] = {}
    problems: dict[str, str] = {}
    for key in keys:
        came, read = sent(prefetch, key), fetched.get(key)
        if read is not None and (read.problem is None or came is None):
            resources[key] = read.resources
            if read.problem is not None:
                problems[key] = read.problem
        elif came is not None:
            resources[key] = came.resources
            if not came.whole:
                problems[key] = read.problem if read and read.problem else "first-page-only"
        else:
            problems[key] = "not-sent"
    return Gathered(resources, problems)


def events_in(
    resources: Iterable[Json], *, patient: str, patient_id: str, source: str, base: str | None, several: bool
) -> list[IncomingEvent]:
    """The facts in `resources` as events of `source`, those that can be read and are about `patient` (a patient key).

    A query was by patient, so an Observation or Condition that names no subject is hers; one that names somebody else
    is left out, and so is a Patient with another id.
    """
    sender = Sender(source, base, several, "")
    found: dict[tuple[str, str], IncomingEvent] = {}
    for resource in resources:
        kind = resource.get("resourceType")
        if kind not in FACT_TYPES:
            continue
        if kind != "Patient" and "subject" not in resource:
            resource = {**resource, "subject": {"reference": f"Patient/{patient_id}"}}
        try:
            made = event(resource, str(kind), sender, fallback_id=None)
        except NotAcceptable:
            continue
        if isinstance(made, IncomingEvent) and made.patient == patient:
            found[made.resource_type, made.resource_id] = made
    return list(found.values())


def document(made: IncomingEvent) -> Json:
    """The resource of an event."""
    body: Json = msgspec.json.decode(made.body)
    return body
