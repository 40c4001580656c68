"""Subscriptions that make a FHIR server notify us, and how to get from those that it has to those that we want.

R4 rest-hooks, and topic-based ones after the Backport IG. Two servers' own extensions are used where the standard has
nothing: HAPI's for deletes, Medplum's for a signing secret; other servers pass over them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.codes import LOINC, table

Json = dict[str, Any]
Content = Literal["empty", "id-only", "full-resource"]

BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
HAPI_DELETES: Final = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages"
MEDPLUM_SIGNS: Final = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"
REASON: Final = "vbq-cds: vertebral fracture risk from MRI, DXA and laboratory values"
_FHIR_JSON: Final = "application/fhir+json"
_OURS: Final = ("status", "reason", "criteria", "_criteria", "channel", "extension")


@dataclass(frozen=True)
class Channel:
    """Where notifications go, and what goes with them. The secrets are not shown when this is printed."""

    endpoint: str
    headers: tuple[str, ...] = ()
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Channel({self.endpoint!r}, {len(self.headers)} headers)"


def rest_hook(criteria: str, channel: Channel, *, deletes: bool = True) -> Json:
    """An R4 Subscription that sends whole resources. `criteria`: `ImagingStudy?modality=MR`."""
    extensions: list[Json] = []
    if deletes:
        extensions.append({"url": HAPI_DELETES, "valueBoolean": True})
    if channel.secret:
        extensions.append({"url": MEDPLUM_SIGNS, "valueString": channel.secret})
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": REASON,
        "criteria": criteria,
        "channel": _channel(channel),
        **({"extension": extensions} if extensions else {}),
    }


def backport(
    topic: str, channel: Channel, *, content: Content, heartbeat_seconds: int | None = None, filters: Sequence[str] = ()
) -> Json:
    """A topic-based Subscription for R4 (Backport IG). `filters`: `ImagingStudy?status=available`."""
    sends: Json = _channel(channel)
    sends["_payload"] = {"extension": [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": content}]}
    if heartbeat_seconds:
        beat = {"url": f"{BACKPORT}/backport-heartbeat-period", "valueUnsignedInt": heartbeat_seconds}
        sends["extension"] = [beat]
    found: Json = {
        "resourceType": "Subscription",
        "meta": {"profile": [f"{BACKPORT}/backport-subscription"]},
        "status": "requested",
        "reason": REASON,
        "criteria": topic,
        "channel": sends,
    }
    if filters:
        url = f"{BACKPORT}/backport-filter-criteria"
        found["_criteria"] = {"extension": [{"url": url, "valueString": one} for one in filters]}
    if channel.secret:
        found["extension"] = [{"url": MEDPLUM_SIGNS, "valueString": channel.secret}]
    return found


def _channel(channel: Channel) -> Json:
    headers = {"header": list(channel.headers)} if channel.headers else {}
    return {"type": "rest-hook", "endpoint": channel.endpoint, "payload": _FHIR_JSON, **headers}


def criteria_of(resource_type: str, *, narrow: bool) -> str:
    """What to subscribe to for one type. `narrow`: studies with an MR series, Observations with a code of our table."""
    if narrow and resource_type == "ImagingStudy":
        return "ImagingStudy?modality=MR"
    if narrow and resource_type == "Observation":
        codes = sorted({row.code for row in table() if row.system == LOINC})
        return "Observation?code=" + ",".join(f"{LOINC}|{code}" for code in codes)
    return f"{resource_type}?"


@dataclass(frozen=True)
class Plan:
    """What to do with a server's Subscriptions. Each of `update` and `remove` has an id."""

    create: tuple[Json, ...] = ()
    update: tuple[Json, ...] = ()
    keep: tuple[Json, ...] = ()
    remove: tuple[Json, ...] = ()


def plan(existing: Iterable[Json], wanted: Sequence[Json], endpoint: str, *, exact: bool = False) -> Plan:
    """How to get from `existing` to one of each `wanted` that notifies `endpoint`; those of others are left alone.

    One that is there and stopped (status error or off) is asked for again; one that is there twice is removed once.
    `exact`: so is whatever else notifies `endpoint`.
    """
    ours = [row for row in existing if _endpoint(row) == endpoint and isinstance(row.get("id"), str)]
    create: list[Json] = []
    update: list[Json] = []
    keep: list[Json] = []
    taken: set[str] = set()
    for want in wanted:
        same = [row for row in ours if _topic(row) == _topic(want) and row["id"] not in taken]
        if not same:
            create.append(want)
            continue
        best = next((row for row in same if _agrees(row, want)), same[0])
        taken.add(best["id"])
        if _agrees(best, want):
            keep.append(best)
        else:
            update.append({**{key: value for key, value in best.items() if key not in (*_OURS, "error")}, **want})
    topics = {_topic(want) for want in wanted}
    left = [row for row in ours if row["id"] not in taken and (exact or _topic(row) in topics)]
    return Plan(tuple(create), tuple(update), tuple(keep), tuple(left))


def _endpoint(subscription: Mapping[str, Any]) -> object:
    channel = subscription.get("channel")
    return channel.get("endpoint") if isinstance(channel, dict) else None


def _topic(subscription: Mapping[str, Any]) -> tuple[str, bool]:
    """What it is about, and whether that is a topic. `Patient` and `Patient?` are the same criteria."""
    criteria = str(subscription.get("criteria", ""))
    return criteria.removesuffix("?"), "_payload" in (subscription.get("channel") or {})


def _agrees(found: Mapping[str, Any], want: Mapping[str, Any]) -> bool:
    """Whether a server's Subscription runs and says all that `want` says; what it added itself does not matter."""
    if found.get("status") not in ("active", "requested"):
        return False
    return all(
        _within(want[name], found.get(name)) for name in _OURS if name in want and name not in ("status", "criteria")
    )


def _within(want: Any, found: Any) -> bool:
    if isinstance(want, dict):
        return isinstance(found, dict) and all(_within(value, found.get(key)) for key, value in want.items())
    if isinstance(want, list):
        return isinstance(found, list) and all(any(_within(one, other) for other in found) for one in want)
    return bool(want == found)
