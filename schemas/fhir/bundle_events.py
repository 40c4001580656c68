"""The entries of a Bundle as events, in their order, with the references between entries followed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.errors import Issue, NotAcceptable
from schemas.events import RELEVANT_TYPES, IncomingEvent
from schemas.fhir import narrow
from schemas.fhir.notice_events import event_of_notification
from schemas.fhir.notification import Told, told
from schemas.fhir.reference import ID, as_own, read_reference
from schemas.fhir.reference import Literal as Address
from schemas.fhir.resource_event import Sender, deletion, event, irrelevant, refused, type_of
from schemas.fhir.types import NOTIFICATION_TYPES, R4_TYPES

Kind = Literal["resource", "delete", "collection", "batch", "transaction", "message", "history", "handshake"]
# What the sender reads our answer as: an OperationOutcome; the resource back (HAPI's PUT); a response Bundle with an
# entry for each of its own; a message Bundle.
Reply = Literal["outcome", "resource", "bundle-response", "message-response"]

_BUNDLE_KINDS: Final[Mapping[str, tuple[Kind, Reply]]] = {
    "collection": ("collection", "outcome"),
    "searchset": ("collection", "outcome"),
    "batch": ("batch", "bundle-response"),
    "transaction": ("transaction", "bundle-response"),
    "message": ("message", "message-response"),
    "history": ("history", "outcome"),
    "subscription-notification": ("history", "outcome"),
}


@dataclass(frozen=True, slots=True)
class ParsedEvents:
    """The events of one body. `entries` has the index of its event for each entry of a Bundle, None where skipped.

    `notice` is what it tells about a subscription: a row of its own in the inbox, beside the resources'.
    """

    kind: Kind
    events: list[IncomingEvent]
    skipped: list[Issue]
    reply: Reply
    entries: tuple[int | None, ...] = ()
    header: dict[str, Any] | None = None  # the MessageHeader of a message
    resource: bytes = b""  # what a PUT gets back
    notice: IncomingEvent | None = None


def events_of_bundle(document: dict[str, Any], sender: Sender) -> ParsedEvents:
    bundle = narrow.read_as(narrow.Bundle, document, "Bundle")
    if bundle.type not in _BUNDLE_KINDS:
        raise refused(Issue("Bundle.type", f"must be one of {', '.join(sorted(_BUNDLE_KINDS))}"), code="bundle-type")
    kind, reply = _BUNDLE_KINDS[bundle.type]
    notification = told(bundle)
    header = _header(bundle) if kind == "message" else None
    ids = _ids(bundle)
    if any(url.startswith("urn:") for url in ids):
        bundle = narrow.read_as(narrow.Bundle, _replaced(document, ids), "Bundle")
    addresses = [_addresses(entry, sender) for entry in bundle.entry]
    mixed = _is_of_several_servers(addresses, sender)
    events: list[IncomingEvent] = []
    entries: list[int | None] = []
    skipped: list[Issue] = []
    wrong: list[Issue] = []
    for index, entry in enumerate(bundle.entry):
        try:
            path = f"Bundle.entry[{index}]"
            _check_addresses(path, entry, addresses[index], mixed=mixed)
            made = _entry(kind, path, entry, ids, sender)
        except NotAcceptable as error:
            wrong.extend(error.issues)
            continue
        if isinstance(made, IncomingEvent):
            entries.append(len(events))
            events.append(made)
        else:
            entries.append(None)
            skipped.extend([made] if made else [])
    if wrong:
        raise refused(*wrong)
    if notification is not None:
        notice, more = _notice(bundle, notification, document, ids, sender)
        quiet = notification.kind in ("handshake", "heartbeat") and not events
        return ParsedEvents("handshake" if quiet else kind, events, [*skipped, *more], reply, notice=notice)
    return ParsedEvents(kind, events, skipped, reply, entries=tuple(entries), header=header)


def _notice(
    bundle: narrow.Bundle, notification: Told, document: dict[str, Any], ids: Mapping[str, str], sender: Sender
) -> tuple[IncomingEvent, list[Issue]]:
    """The notice of a notification. What came as a resource, or as a deletion, need not be fetched."""
    carried = dict(ids)
    for index, entry in enumerate(bundle.entry):
        literal = None
        if entry.request is not None and entry.request.method in ("DELETE", "PUT"):
            literal = read_reference(as_own(entry.request.url, sender.bases))
        if entry.resource is not None and literal is None and index:
            own = entry.resource.get("id")
            literal = read_reference(f"{entry.resource.get('resourceType')}/{own}") if isinstance(own, str) else None
        gone = entry.request is not None and entry.request.method == "DELETE"
        if literal is not None and (entry.resource is not None or gone):
            carried[entry.full_url or f"entry {index}"] = literal.relative
    return event_of_notification(bundle, notification, sender, carried=carried, document=document)


def _entry(
    kind: Kind, path: str, entry: narrow.Entry, ids: Mapping[str, str], sender: Sender
) -> IncomingEvent | Issue | None:
    """The event of one entry, an Issue saying why it has none, or None for what only carries the others."""
    request = entry.request
    if kind in ("batch", "transaction") and request is None:
        raise refused(Issue(f"{path}.request", "Field required in a batch or transaction"))
    if request is not None and request.method == "DELETE":
        return _entry_deletion(path, entry, request, sender)
    if request is not None and request.method == "PATCH":
        raise refused(Issue(f"{path}.request.method", "PATCH is not taken; send the whole resource"))
    if entry.resource is None:
        return Issue(path, "has no resource in it")
    resource_type = type_of(entry.resource, f"{path}.resource")
    if resource_type in NOTIFICATION_TYPES | {"Parameters", "MessageHeader"}:
        return None
    if request is not None and request.method in ("GET", "HEAD") and kind != "history":
        return Issue(path, "is a read, not a change")
    return event(
        entry.resource,
        f"{path}.resource",
        sender,
        fallback_id=None if "id" in entry.resource else _id_of(entry),
        known=ids,
        request=request if kind in ("batch", "transaction") else None,
    )


def _entry_deletion(path: str, entry: narrow.Entry, request: narrow.Request, sender: Sender) -> IncomingEvent | Issue:
    target = read_reference(request.url)
    if target is None:
        raise refused(Issue(f"{path}.request.url", "a DELETE must name one resource as Type/id"))
    if target.resource_type not in R4_TYPES:
        raise refused(Issue(f"{path}.request.url", "does not name a FHIR R4 resource type"), code="unknown-type")
    if target.resource_type not in RELEVANT_TYPES:
        return irrelevant(target.resource_type, path)
    modified = entry.response.last_modified if entry.response else None
    return deletion(target.resource_type, target.resource_id, sender, version=modified and f"gone-{modified}")


def _addresses(entry: narrow.Entry, sender: Sender) -> list[tuple[str, Address]]:
    """(element, address) of an entry that matters here; what is at the sender's own base is relative."""
    gone = entry.request is not None and entry.request.method == "DELETE"
    url = entry.full_url or ""
    if not gone and not url.startswith("http"):
        return []  # nearly all of them: urn:uuid:, or nothing
    deleted = read_reference(entry.request.url) if gone and entry.request is not None else None
    there = deleted.resource_type if deleted else (entry.resource or {}).get("resourceType")
    if there not in RELEVANT_TYPES:
        return []
    stated = [("fullUrl", url), *([("request.url", entry.request.url)] if deleted and entry.request else [])]
    found = [(name, read_reference(as_own(text, sender.bases))) for name, text in stated]
    return [(name, literal) for name, literal in found if literal is not None]


def _is_of_several_servers(addresses: list[list[tuple[str, Address]]], sender: Sender) -> bool:
    """Whether the entries are at several bases. Where all are at one, that is the sender's, by whatever name."""
    bases = {
        literal.base or "own"
        for found in addresses
        for name, literal in found
        if literal.base is not None or (name == "fullUrl" and sender.base is not None)
    }
    return len(bases) > 1


def _check_addresses(path: str, entry: narrow.Entry, addresses: list[tuple[str, Address]], *, mixed: bool) -> None:
    """A fullUrl must not disagree with what is in its entry (R4, Bundle).

    Nor may what is at another server be mixed with the sender's own: there p1 is somebody else and o1 another
    Observation, which would stand in the place of the sender's.
    """
    resource = entry.resource or {}
    for name, literal in addresses:
        if mixed and literal.base is not None:
            raise refused(
                Issue(
                    f"{path}.{name}",
                    "is at another server than others of this Bundle and than this sender's fhir_base_url "
                    "(base_aliases lists other names of the same base)",
                )
            )
        held = resource.get("resourceType", literal.resource_type), resource.get("id", literal.resource_id)
        if name == "fullUrl" and held != (literal.resource_type, literal.resource_id):
            raise refused(Issue(f"{path}.fullUrl", "is not the address of the resource in this entry"))


def _header(bundle: narrow.Bundle) -> dict[str, Any]:
    first = bundle.entry[0].resource if bundle.entry else None
    if first is None or first.get("resourceType") != "MessageHeader":
        raise refused(Issue("Bundle.entry[0].resource", "a message begins with its MessageHeader"))
    narrow.read_as(narrow.MessageHeader, first, "Bundle.entry[0].resource")
    return first


def _ids(bundle: narrow.Bundle) -> dict[str, str]:
    """Type/id for each fullUrl of the Bundle, so that references to entries can be followed."""
    found: dict[str, str] = {}
    for entry in bundle.entry:
        resource = entry.resource
        if entry.full_url is None or resource is None or resource.get("resourceType") not in RELEVANT_TYPES:
            continue
        own = resource.get("id")
        resource_id = own if isinstance(own, str) else _id_of(entry)
        if resource_id is not None:
            found[entry.full_url] = f"{resource['resourceType']}/{resource_id}"
    return found


def _id_of(entry: narrow.Entry) -> str | None:
    """The id that an entry has besides its resource's own: from request.url of a PUT, else from fullUrl."""
    if entry.request is not None and entry.request.method == "PUT":
        target = read_reference(entry.request.url)
        if target is not None:
            return target.resource_id
    url = entry.full_url or ""
    if url.startswith("urn:uuid:") and ID.fullmatch(url[9:]):
        return url[9:]
    literal = read_reference(url)
    return literal.resource_id if literal else None


def _replaced(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with references to urn: entries of its Bundle replaced by what they stand for."""
    if isinstance(value, dict):
        return {key: _target(item, ids) if key == "reference" else _replaced(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, ids) for item in value]
    return value


def _target(reference: Any, ids: Mapping[str, str]) -> Any:
    return ids.get(reference, reference) if isinstance(reference, str) and reference.startswith("urn:") else reference
