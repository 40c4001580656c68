"""A notification as a notice for the inbox: what it names that has to be fetched, and what it leaves to a search."""

import hashlib
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from schemas.errors import Issue, NotAcceptable
from schemas.events import RELEVANT_TYPES, IncomingEvent
from schemas.fhir.narrow import Bundle, Entry
from schemas.fhir.notification import Place, Told
from schemas.fhir.reference import Literal, as_own, read_reference
from schemas.fhir.resource_event import Sender, digest, irrelevant, refused
from schemas.fhir.types import R4_TYPES
from schemas.notice import Notice, NoticeKind

NOTICE_TYPE: Final = "Subscription"  # the resource type of a notice's row in the inbox
ANYWHERE: Final = "any"  # the id of a notice that names no subscription
_HOUR: Final = len("2026-11-22T15")


def notice_event(notice: Notice, sender: Sender, *, version: str) -> IncomingEvent:
    """The inbox row of `notice`."""
    return IncomingEvent(
        source=sender.source,
        resource_type=NOTICE_TYPE,
        resource_id=subscription_key(notice.subscription),
        version=version,
        interaction="notice",
        patient=None,
        body=notice.model_dump_json(exclude_defaults=True).encode(),
    )


def _token(sender: Sender) -> str:
    return hashlib.sha256(sender.delivery.encode()).hexdigest() if sender.delivery else sender.arrival


def subscription_key(subscription: str) -> str:
    """The id under which a subscription is kept: its own at the sender's server, a hash of anything else."""
    literal = read_reference(subscription)
    if literal is not None and literal.base is None:
        return literal.resource_id
    return hashlib.sha256(subscription.encode()).hexdigest()[:32] if subscription else ANYWHERE


def ping(sender: Sender) -> IncomingEvent:
    """A rest-hook without payload. Raises NotAcceptable where there is nowhere to ask what changed."""
    if not sender.readable:
        text = (
            "the body is empty: send a FHIR resource as JSON, or configure fhir_base_url and reads for this sender, so "
            "that what changed can be fetched"
        )
        raise NotAcceptable(text, code="empty-body")
    return notice_event(Notice(kind="ping", search=True), sender, version=f"ping-{_token(sender)}")


def event_of_notification(
    bundle: Bundle, told: Told, sender: Sender, *, carried: Mapping[str, str], document: Mapping[str, object]
) -> tuple[IncomingEvent, list[Issue]]:
    """The notice that `told` makes, and what it names that is of no use here.

    `carried`: Type/id for each fullUrl of an entry that has its resource (or its deletion) with it. Raises
    NotAcceptable where something would have to be fetched from elsewhere than the sender's own FHIR base.
    """
    skipped: list[Issue] = []
    fetch: dict[str, None] = {}
    blind = told.kind == "event-notification" and not told.events and not carried
    for event in told.events:
        if event.focus is None:
            blind = blind or (told.kind == "event-notification" and not carried)
        elif not _is_carried(event.focus.reference, sender, carried):
            fetch |= dict.fromkeys(_wanted(event.focus, sender, skipped))
        for place in event.context:
            fetch |= dict.fromkeys(_context(place, sender, carried))
    for place in _named_by_entries(bundle):
        if not _is_carried(place.reference, sender, carried):
            fetch |= dict.fromkeys(_wanted(place, sender, skipped))
    blind = blind and not fetch
    if blind:
        _check_readable(sender, "Bundle.entry")
    stated = as_own(told.subscription or "", sender.bases)
    notice = Notice(
        kind=cast("NoticeKind", told.kind),
        subscription=stated,
        topic=told.topic,
        status=told.status,
        announced=told.announced,
        numbers=[event.number for event in told.events if event.number is not None],
        sent=bundle.timestamp,
        fetch=list(fetch),
        search=blind,
    )
    return notice_event(notice, sender, version=_version(notice, sender, document)), skipped


def _version(notice: Notice, sender: Sender, document: Mapping[str, object]) -> str:
    """The same notification sent twice is one row, and so are the heartbeats of an hour in which nothing happened."""
    if notice.kind == "heartbeat":
        return f"heartbeat-{notice.announced}-{notice.status[:16]}-{sender.arrival[:_HOUR]}"
    return f"{notice.kind}-{digest(document)[:40]}"


def _named_by_entries(bundle: Bundle) -> list[Place]:
    """What the entries after the first name by their fullUrl alone: an id-only payload."""
    rows = [
        Place(f"Bundle.entry[{index}].fullUrl", entry.full_url)
        for index, entry in enumerate(bundle.entry)
        if index and entry.resource is None and entry.full_url and not _is_deletion(entry)
    ]
    return [row for row in rows if not row.reference.startswith("urn:")]


def _is_deletion(entry: Entry) -> bool:
    return entry.request is not None and entry.request.method == "DELETE"


def _is_carried(reference: str, sender: Sender, carried: Mapping[str, str]) -> bool:
    own = as_own(reference, sender.bases)
    literal = read_reference(own)
    return reference in carried or (
        literal is not None and literal.base is None and literal.relative in carried.values()
    )


def _wanted(place: Place, sender: Sender, skipped: list[Issue]) -> list[str]:
    """What has to be fetched for `place`: one reference, or none where it is of no use (noted in `skipped`)."""
    literal = read_reference(as_own(place.reference, sender.bases))
    if literal is None or literal.resource_type not in R4_TYPES:
        raise refused(Issue(place.path, "must be a literal reference to a FHIR R4 resource"), code="focus-reference")
    if literal.resource_type not in RELEVANT_TYPES:
        skipped.append(irrelevant(literal.resource_type, place.path))
        return []
    if sender.types is not None and literal.resource_type not in sender.types:
        text = f"{literal.resource_type} is not among the types configured for this sender"
        skipped.append(Issue(place.path, text))
        return []
    _check_readable(sender, place.path)
    if literal.base is not None:
        raise refused(Issue(place.path, _elsewhere(literal)), code="focus-elsewhere")
    return [literal.relative]


def _context(place: Place, sender: Sender, carried: Mapping[str, str]) -> list[str]:
    """What a notification offers beside its focus: fetched where it can be and is of use, passed over otherwise."""
    literal = read_reference(as_own(place.reference, sender.bases))
    if literal is None or literal.base is not None or not sender.readable:
        return []
    useful = literal.resource_type in RELEVANT_TYPES and (sender.types is None or literal.resource_type in sender.types)
    return [literal.relative] if useful and literal.relative not in carried.values() else []


def _elsewhere(literal: Literal) -> str:
    """Names the server and nothing else of the address: a path or a query may hold a secret."""
    host = urlsplit(literal.base or "").hostname or "another server"
    return (
        f"names a resource at {host}, which is not this sender's fhir_base_url; nothing is fetched from there "
        "(base_aliases lists other names of the same base)"
    )


def _check_readable(sender: Sender, path: str) -> None:
    if not sender.readable:
        text = (
            "the notification carries no resources, and nothing says that they may be fetched: configure fhir_base_url "
            "and reads for this sender, or have the server send whole resources"
        )
        raise refused(Issue(path, text), code="no-payload")
