"""What a sender named and did not send is read at its FHIR server; what it skipped or left unsaid is searched there.

Everything comes into the inbox as if the sender had pushed it, so a version that is here already costs a look and no
more. A server that is away is waited for, however long: nothing but a refusal makes a fetch a dead letter.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateways.fhir.client import FhirClient, Page
from gateways.fhir.subscriptions import Subscription, Subscriptions
from gateways.queue.inbox import BATCH
from gateways.queue.jobs import Job
from schemas.config import Sender
from schemas.errors import CircuitOpen, EhrUnavailable, NotAcceptable, NotConfigured, Rejected
from schemas.events import RELEVANT_TYPES, IncomingEvent
from schemas.fhir.events import ParsedEvents, events_of
from schemas.fhir.notice_events import NOTICE_TYPE
from schemas.fhir.reference import ID, as_own, read_reference
from schemas.fhir.resource_event import digest
from schemas.notice import Notice
from workers.bench import Bench
from workers.outcomes import LONGEST_DELAY_SECONDS, backoff_seconds
from workers.searching import Search, iso, pages_since

LOOKS_FOR_A_MISSING_ONE = 4  # a server may tell of a resource before its own reads find it
MOST_NUMBERS_ASKED = 10_000
STEADY_SECONDS = 60.0  # between the looks at a server that is away for long
SEARCH_SHARE = 1 / 3  # of a task's time limit: then a search notes how far it is and goes on in another run

log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A sender's server and how what it holds is called here."""

    sender: Sender
    client: FhirClient
    several: bool

    @property
    def base(self) -> str:
        return (self.sender.fhir_base_url or "").rstrip("/")

    @property
    def types(self) -> frozenset[str] | None:
        return None if self.sender.resource_types is None else frozenset(self.sender.resource_types)

    def parsed(
        self, document: Json, *, method: str = "POST", path: tuple[str, str] | None = None, arrival: str = ""
    ) -> ParsedEvents:
        """`document` (or, with DELETE, what lies at `path`) as if the sender had pushed it."""
        return events_of(
            json.dumps(document, ensure_ascii=False).encode(),
            source=self.sender.name,
            base=self.base,
            several=self.several,
            method=method,
            path_type=path[0] if path else None,
            path_id=path[1] if path else None,
            arrival=arrival,
            aliases=tuple(self.sender.base_aliases),
            types=self.types,
            readable=True,
        )


def fetch(bench: Bench, job: Job) -> None:
    """Do the fetch job: read one resource, or close what a subscription left open. Waits where the server is away."""
    source, resource_type, resource_id = job.subject.split("/", 2)
    try:
        place = place_of(bench, source)
        if resource_type == NOTICE_TYPE:
            _catch_up(bench, job, place, resource_id)
        else:
            _read(bench, job, place, resource_type, resource_id)
    except CircuitOpen:
        raise  # workers/outcomes.py: no attempt is spent
    except EhrUnavailable as error:
        patient = job.claim.attempts >= bench.settings.max_attempts
        wait = STEADY_SECONDS if patient else backoff_seconds(job.claim.attempts)
        delay = min(max(wait, error.retry_after_s or 0.0), LONGEST_DELAY_SECONDS)
        log.info("a fetch waits for its server", extra={"job": job.claim.id, "code": error.reason_code})
        with bench.database.write() as connection:
            bench.jobs.fail(
                connection, job, code=error.reason_code, text=error.detail, delay_seconds=delay, spared=patient
            )


def place_of(bench: Bench, source: str) -> Place:
    sender = next((one for one in bench.config.senders if one.name == source), None)
    if sender is None:
        raise NotConfigured("the sender of this notification is not configured any more; nothing can be fetched")
    bases = {one.fhir_base_url.rstrip("/") for one in bench.config.senders if one.fhir_base_url}
    return Place(sender, bench.servers.of_sender(source), several=len(bases) > 1)


def _read(bench: Bench, job: Job, place: Place, resource_type: str, resource_id: str) -> None:
    """Read one resource. What is not there any more was deleted."""
    try:
        found: Json | None = place.client.read(f"{resource_type}/{resource_id}")
    except Rejected as error:
        found = None
        if error.reason_code == "ehr-not-found" and job.claim.attempts < LOOKS_FOR_A_MISSING_ONE:
            raise EhrUnavailable("the server does not find what it named yet; it will be asked again") from error
        if error.reason_code not in ("ehr-not-found", "ehr-gone"):
            raise
    if found is None:
        with bench.database.read() as connection:
            there = known(bench, connection, place, f"{resource_type}/{resource_id}")
        # it may have been deleted before, and made anew: then this is another deletion than that one
        arrival = f"{iso(time.time())}-{job.claim.id}" if there else ""
        events = place.parsed({}, method="DELETE", path=(resource_type, resource_id), arrival=arrival).events
    else:
        events = place.parsed(found).events
    accept(bench, events)
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        wakes = [
            bench.jobs.bump(connection, "fetch", f"{place.sender.name}/{reference}", "")
            for reference in related([found] if found else [], place)
            if not known(bench, connection, place, reference)
        ]
        bench.jobs.finish_and_forget(connection, job)
    for wake in wakes:
        bench.wake("fetch", wake)


def _catch_up(bench: Bench, job: Job, place: Place, key: str) -> None:
    """Close the gaps of a subscription by $events, else by a search; search where it did not say what changed."""
    subscriptions = Subscriptions(bench.database)
    with bench.database.read() as connection:
        then = subscriptions.one(connection, place.sender.name, key)
    gaps = then.numbers.missing if then is not None else ()
    wanted: set[str] = set()
    search: Search | None = None
    if then is not None and gaps:
        left = _asked_for(bench, place, then, wanted)
        if left:
            search = Search(iso(then.known_until), then.progress)
    if then is not None and then.search_from is not None:
        start = min(then.search_from, then.known_until) if search else then.search_from
        search = Search(iso(start), then.progress)
    through = search is None or _search(bench, place, search, wanted)
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        more = not through
        if then is not None and search is not None and not through:
            subscriptions.progress(connection, then, search.progress)
        elif then is not None:
            more = subscriptions.caught_up(connection, then, closed=gaps)
        wakes = [
            bench.jobs.bump(connection, "fetch", f"{place.sender.name}/{reference}", "")
            for reference in sorted(wanted)
            if not known(bench, connection, place, reference)
        ]
        if more:
            wakes.append(bench.jobs.bump(connection, "fetch", job.subject, ""))
        bench.jobs.finish_and_forget(connection, job)
    for wake in wakes:
        bench.wake("fetch", wake)


def _asked_for(bench: Bench, place: Place, then: Subscription, wanted: set[str]) -> bool:
    """Ask the server for the missing events by number; returns whether any is missing still."""
    literal = read_reference(then.reference)
    if literal is None or literal.base is not None or then.missing > MOST_NUMBERS_ASKED:
        return True
    numbers = then.numbers
    for first, last in numbers.missing:
        asked = {"eventsSinceNumber": str(first), "eventsUntilNumber": str(last), "content": "full-resource"}
        try:
            parsed = place.parsed(place.client.operation(f"Subscription/{literal.resource_id}/$events", asked))
        except Rejected as error:  # the operation is optional, and an answer that cannot be read is as good as none
            log.info("no $events: a search instead", extra={"sender": place.sender.name, "code": error.reason_code})
            return True
        notice = Notice.model_validate_json(parsed.notice.body) if parsed.notice is not None else Notice(kind="ping")
        accept(bench, parsed.events)
        wanted.update(notice.fetch)
        if parsed.events or notice.fetch:
            numbers = numbers.closed(tuple((number, number) for number in sorted(notice.numbers)))
    return bool(numbers.missing)


def _search(bench: Bench, place: Place, search: Search, wanted: set[str]) -> bool:
    """Take what changed; False where the time was up first (`search.progress` says where to go on)."""
    until = time.monotonic() + bench.settings.task_seconds * SEARCH_SHARE
    brought: set[str] = set()
    for kind in RELEVANT_TYPES:
        if place.types is not None and kind not in place.types:
            continue
        for page in pages_since(place.client, kind, search):
            events = list(events_of_page(page, place))
            accept(bench, events)
            brought.update(f"{event.resource_type}/{event.resource_id}" for event in events)
            wanted.update(related(page.resources, place))
            wanted.difference_update(brought)
            if search.reached(kind, page) and page.following and time.monotonic() > until:
                return False
        search.through(kind)
    return True


def events_of_page(page: Page, place: Place) -> Iterator[IncomingEvent]:
    for resource in page.resources:
        try:
            yield from place.parsed(resource).events
        except NotAcceptable:
            if (made := _unreadable(resource, place)) is not None:
                yield made


def _unreadable(resource: Json, place: Place) -> IncomingEvent | None:
    """A resource that cannot be taken, as an event all the same: it becomes a dead letter that says why."""
    kind, resource_id = resource.get("resourceType"), resource.get("id")
    if kind not in RELEVANT_TYPES or not isinstance(resource_id, str) or not ID.fullmatch(resource_id):
        return None
    body = json.dumps(resource, ensure_ascii=False).encode()
    return IncomingEvent(
        source=place.sender.name,
        resource_type=str(kind),
        resource_id=resource_id,
        version=digest(resource),
        patient=None,
        body=body,
    )


def related(resources: Iterable[Json], place: Place) -> list[str]:
    """Type/id of what one needs beside `resources`: their Patients, and the Endpoints of a study."""
    found: dict[str, None] = {}
    for resource in resources:
        endpoints = resource.get("endpoint") if resource.get("resourceType") == "ImagingStudy" else None
        for element in [resource.get("subject"), *(endpoints if isinstance(endpoints, list) else [])]:
            reference = element.get("reference") if isinstance(element, dict) else None
            literal = (
                read_reference(as_own(reference, [place.base, *place.sender.base_aliases]))
                if isinstance(reference, str)
                else None
            )
            useful = literal is not None and literal.base is None and literal.resource_type in ("Patient", "Endpoint")
            if literal is not None and useful and (place.types is None or literal.resource_type in place.types):
                found[literal.relative] = None
    return list(found)


def known(bench: Bench, connection: Any, place: Place, reference: str) -> bool:
    kind, _, resource_id = reference.partition("/")
    return bench.facts.one(connection, place.sender.name, kind, resource_id) is not None


def accept(bench: Bench, events: list[IncomingEvent]) -> int:
    """Into the inbox, and have them read; returns how many were not there yet."""
    fresh = [receipt.event for receipt in bench.inbox.accept(events) if not receipt.repeat]
    for event in fresh[::BATCH]:
        bench.wake("event", event)
    return len(fresh)
