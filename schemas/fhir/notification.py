"""Subscription notifications: what the first entry of a history or subscription-notification Bundle says it is.

Backport for R4 states it in Parameters, Backport for R4B and R5 in SubscriptionStatus.
"""

import enum
from typing import Any

from schemas.fhir.narrow import Bundle

_CARRIERS = ("history", "subscription-notification")


class Notification(enum.Enum):
    """NONE: no notification at all. WITHOUT_EVENTS: a handshake or heartbeat, which wants a 2xx and nothing else."""

    NONE = "none"
    WITHOUT_EVENTS = "without events"
    WITH_EVENTS = "with events"


def notification_of(bundle: Bundle) -> Notification:
    """What kind of notification `bundle` is."""
    first = bundle.entry[0].resource if bundle.type in _CARRIERS and bundle.entry else None
    if first is None or first.get("resourceType") not in ("Parameters", "SubscriptionStatus"):
        return Notification.NONE
    stated = first.get("type") if first["resourceType"] == "SubscriptionStatus" else _parameter(first, "type")
    return Notification.WITHOUT_EVENTS if stated in ("handshake", "heartbeat") else Notification.WITH_EVENTS


def _parameter(parameters: dict[str, Any], name: str) -> Any:
    rows = parameters.get("parameter")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("name") == name:
            return row.get("valueCode") or row.get("valueString")
    return None
