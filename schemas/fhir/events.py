"""What a sender pushed, as events for the inbox: one per relevant resource, in the order of the body.

A body is one resource, or a Bundle: collection, batch, transaction, message, history, or a subscription's notification
with whole resources in it. Nothing is dropped in silence: each resource becomes an event, a row of `skipped` with the
reason, or an error that names its place.
"""

import codecs
from typing import Any

from schemas.errors import Issue
from schemas.events import RELEVANT_TYPES
from schemas.fhir.bundle_events import Kind, ParsedEvents, Reply, events_of_bundle
from schemas.fhir.notice_events import ping
from schemas.fhir.parse import MAX_DEPTH, parse_json
from schemas.fhir.resource_event import Sender, check_id, deletion, event, irrelevant, refused, type_of
from schemas.fhir.types import R4_TYPES

__all__ = ["Kind", "ParsedEvents", "Reply", "events_of"]


def events_of(
    body: bytes,
    *,
    source: str,
    base: str | None,
    several: bool,
    path_type: str | None = None,
    path_id: str | None = None,
    method: str = "POST",
    max_depth: int = MAX_DEPTH,
    arrival: str = "",
    aliases: tuple[str, ...] = (),
    types: frozenset[str] | None = None,
    readable: bool = False,
    delivery: str = "",
) -> ParsedEvents:
    """The events in `body` as `source` sent it with `method` to /events[/{path_type}[/{path_id}]].

    `base` and `several` are those of schemas.fhir.reference.patient_key; `aliases` are other URLs of `base`, `types`
    what this sender may push (None: all that matters), `readable` whether we may read at `base`. A DELETE states no
    version: `arrival` (text that is new for each request and begins with the time of arrival, ISO 8601) keeps a second
    delete of a resource that came back in between from being taken for a repeat of the first. No body at all is a
    rest-hook without payload: something changed at `base`; `delivery` tells one of them from a repeat of it.

    Raises NotAcceptable: with a code of parse.SYNTAX_CODES where the body is not JSON, otherwise with issues that name
    the FHIRPath of each wrong element.
    """
    sender = Sender(source, base, several, arrival, aliases, types, readable, delivery)
    if path_type is not None and path_type not in R4_TYPES:
        raise refused(Issue("(path)", "the path does not name a FHIR R4 resource type"), code="unknown-type")
    if method == "DELETE":
        return _delete(path_type, path_id, sender)
    if not body and path_type is None:
        return ParsedEvents("history", [], [], "outcome", notice=ping(sender))
    body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259 lets a reader pass over it, and .NET writes it
    document = parse_json(body, max_depth)
    resource_type = type_of(document, "(root)")
    if path_type is not None and path_type != resource_type:
        raise refused(Issue(f"{resource_type}.resourceType", "is not the type that the path names"))
    if resource_type == "Bundle":
        return events_of_bundle(document, sender)
    return _single(document, body, sender, path_id=path_id, method=method)


def _single(document: dict[str, Any], body: bytes, sender: Sender, *, path_id: str | None, method: str) -> ParsedEvents:
    resource_type = document["resourceType"]
    reply: Reply = "resource" if method == "PUT" else "outcome"
    if path_id is not None:
        check_id(path_id, "(path)")
        if document.get("id", path_id) != path_id:
            raise refused(Issue(f"{resource_type}.id", "is not the id that the path names"))
    made = event(document, resource_type, sender, fallback_id=path_id, as_it_came=body)
    if isinstance(made, Issue):
        return ParsedEvents("resource", [], [made], reply, resource=body)
    return ParsedEvents("resource", [made], [], reply, resource=made.body)


def _delete(path_type: str | None, path_id: str | None, sender: Sender) -> ParsedEvents:
    if path_type is None or path_id is None:
        raise refused(Issue("(path)", "a DELETE must name the resource: /events/{Type}/{id}"))
    check_id(path_id, "(path)")
    if path_type not in RELEVANT_TYPES:
        return ParsedEvents("delete", [], [irrelevant(path_type)], "outcome")
    return ParsedEvents("delete", [deletion(path_type, path_id, sender, version=None)], [], "outcome")
