"""Subscription notifications: what the first entry of a history or subscription-notification Bundle tells.

Backport for R4 says it in Parameters (kebab-case or camelCase names), Backport for R4B and R5 in SubscriptionStatus.
Event numbers are strings in all three, since JSON has no 64-bit integers; numbers are taken too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, get_args

from schemas.errors import Issue
from schemas.fhir.narrow import Bundle
from schemas.fhir.resource_event import refused
from schemas.notice import NoticeKind

_CARRIERS: Final = ("history", "subscription-notification")
_STATUS_TYPES: Final = ("Parameters", "SubscriptionStatus")
_KINDS: Final = frozenset(get_args(NoticeKind)) - {"ping"}
_VALUES: Final = ("valueString", "valueCode", "valueCanonical", "valueUri", "valueInstant", "valueDateTime")
_NUMBERS: Final = ("valueString", "valueInteger64", "valueInteger", "valueUnsignedInt", "valuePositiveInt")
_MOST_DIGITS: Final = 18
_LONGEST_TEXT: Final = 2048
_MOST_EVENTS: Final = 10_000


class Place(NamedTuple):
    """A reference and where it stands."""

    path: str
    reference: str


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One event of a notification: its number, what it is about, and what else it says one may want."""

    number: int | None
    focus: Place | None
    context: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a notification tells, both dialects alike; `subscription` is None where it is not named."""

    kind: str
    subscription: str | None
    topic: str
    status: str
    announced: int | None
    events: tuple[ToldEvent, ...]


def told(bundle: Bundle) -> Told | None:
    """What `bundle` tells, None where it is no notification. Raises NotAcceptable where what it tells is malformed."""
    first = bundle.entry[0].resource if bundle.type in _CARRIERS and bundle.entry else None
    if first is None or first.get("resourceType") not in _STATUS_TYPES:
        return None
    path = "Bundle.entry[0].resource"
    rows = _parameters(first, path) if first["resourceType"] == "Parameters" else _elements(first, path)
    known: dict[str, _Element] = {}
    events: list[ToldEvent] = []
    for row in rows:
        if row.name == "notificationevent":
            events.append(_event(row))
        else:
            known.setdefault(row.name, row)
    if len(events) > _MOST_EVENTS:
        raise refused(Issue(path, f"tells of more than {_MOST_EVENTS} events; send several notifications"))
    kind = _text(known.get("type")) or "event-notification"
    if kind not in _KINDS:
        raise refused(Issue(known["type"].path, "is not a type of notification"))
    subscription = known.get("subscription")
    return Told(
        kind=kind,
        subscription=_reference(subscription).reference if subscription else None,
        topic=_text(known.get("topic")),
        status=_text(known.get("status")),
        announced=_number(known.get("eventssincesubscriptionstart")),
        events=tuple(events),
    )


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of either dialect: its name in lower case without hyphens, its value, and its parts."""

    name: str
    path: str
    value: Any
    parts: "tuple[_Element, ...]" = ()


def _parameters(holder: Mapping[str, Any], path: str, key: str = "parameter") -> "Iterator[_Element]":
    """The parameters (or parts) of an R4 Parameters resource."""
    rows = holder.get(key, [])
    if not isinstance(rows, list):
        raise refused(Issue(f"{path}.{key}", "must be a list"))
    for index, row in enumerate(rows):
        here = f"{path}.{key}[{index}]"
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise refused(Issue(f"{here}.name", "Field required"))
        value = next((row[name] for name in ("valueReference", *_VALUES, *_NUMBERS) if name in row), None)
        parts = tuple(_parameters(row, here, "part")) if "part" in row else ()
        yield _Element(row["name"].replace("-", "").lower(), here, value, parts)


def _elements(status: Mapping[str, Any], path: str) -> "Iterator[_Element]":
    """The elements of a SubscriptionStatus, an event at a time."""
    for name, value in status.items():
        if name != "notificationEvent":
            yield _Element(name.lower(), f"{path}.{name}", value)
            continue
        if not isinstance(value, list):
            raise refused(Issue(f"{path}.{name}", "must be a list"))
        for index, event in enumerate(value):
            here = f"{path}.{name}[{index}]"
            if not isinstance(event, dict):
                raise refused(Issue(here, "must be an object"))
            yield _Element(name.lower(), here, None, tuple(_event_elements(event, here)))


def _event_elements(event: Mapping[str, Any], path: str) -> "Iterator[_Element]":
    for name, value in event.items():
        if isinstance(value, list) and name == "additionalContext":
            for index, one in enumerate(value):
                yield _Element(name.lower(), f"{path}.{name}[{index}]", one)
        else:
            yield _Element(name.lower(), f"{path}.{name}", value)


def _event(row: _Element) -> ToldEvent:
    number, focus, context = None, None, []
    for part in row.parts:
        if part.name == "eventnumber":
            number = _number(part)
        elif part.name == "focus" and _refers(part):
            focus = _reference(part)
        elif part.name == "additionalcontext" and _refers(part):
            context.append(_reference(part))
    return ToldEvent(number, focus, tuple(context))


def _refers(element: _Element) -> bool:
    """Whether it has a literal reference; one by identifier alone names nothing that could be fetched."""
    return not isinstance(element.value, dict) or "reference" in element.value


def _reference(element: _Element) -> Place:
    found = element.value.get("reference") if isinstance(element.value, dict) else None
    if not isinstance(found, str) or len(found) > _LONGEST_TEXT:
        raise refused(Issue(element.path, "must be a Reference with a literal reference"))
    return Place(element.path, found)


def _text(element: _Element | None) -> str:
    if element is None or element.value is None:
        return ""
    if not isinstance(element.value, str) or len(element.value) > _LONGEST_TEXT:
        raise refused(Issue(element.path, "must be a string"))
    return element.value


def _number(element: _Element | None) -> int | None:
    """An event number or a count of events; None where there is none."""
    value = element.value if element is not None else None
    if element is None or value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MOST_DIGITS:
        return value
    raise refused(Issue(element.path, "must be a whole number, not negative, as a string or a number"))
