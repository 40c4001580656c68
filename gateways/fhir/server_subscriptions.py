"""The Subscriptions on a FHIR server that notify us: found, made, changed, removed."""

from collections.abc import Callable
from typing import Any

from gateways.fhir.client import FhirClient
from schemas.errors import Rejected
from schemas.fhir.subscription import Plan

Json = dict[str, Any]


def subscriptions_of(client: FhirClient, endpoint: str) -> list[Json]:
    """The server's Subscriptions, those that notify `endpoint` at least. Raises EhrUnavailable, Rejected."""
    try:
        found = list(client.search("Subscription", {"url": endpoint, "_count": "100"}))
    except Rejected:  # not every server searches by it
        found = list(client.search("Subscription", {"_count": "100"}))
    return [row for row in found if row.get("resourceType") == "Subscription"]


def apply(client: FhirClient, plan: Plan, told: Callable[[str, Json], None]) -> None:
    """Do what `plan` says, removing last; `told` hears of each step after it was done. Raises as FhirClient does."""
    for row in plan.create:
        told("created", {**row, **client.create(row)})
    for row in plan.update:
        client.update(row)
        told("updated", row)
    for row in plan.keep:
        told("kept", row)
    for row in plan.remove:
        client.delete(f"Subscription/{row['id']}")
        told("removed", row)
