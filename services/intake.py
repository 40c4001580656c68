"""Where events come in: authenticated, parsed narrowly, on disk before the sender hears 202."""

import datetime as dt
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple

from flask import Blueprint, Response, request
from msgspec.json import encode
from werkzeug.exceptions import BadRequest

from gateways.queue.room import Room
from gateways.settings import Settings
from schemas.errors import Issue
from schemas.events import IncomingEvent, Receipt
from schemas.fhir.events import ParsedEvents, events_of
from services.answers import fhir_reply, response_of
from services.asked import Asked, Reply
from services.auth import Gate
from services.bodies import body_of_request
from services.dialects import meant
from services.event_replies import bundle_response, message_response, receipt_outcome, receipt_text
from services.lane import Lane
from services.metrics import Metrics
from services.outside import Outside

LONG_BYTES: Final = 2**17  # a Bundle of this size takes some 20 ms to read

UNREADABLE: Final = "the body's chunks are empty or cannot be read; state Content-Length: 0 where nothing is sent"


class Intake:
    """POST /events and PUT, POST, DELETE /events/{Type}[/{id}]."""

    def __init__(self, settings: Settings, gate: Gate, outside: Outside, metrics: Metrics) -> None:
        self._settings = settings
        self._gate = gate
        self._inbox = outside.inbox
        self._waker = outside.waker
        self._metrics = metrics
        self._new, self._repeats = metrics.events.labels("new"), metrics.events.labels("repeat")
        self._room = Room(settings, outside.database)

    def blueprint(self) -> Blueprint:
        events = Blueprint("events", __name__, url_prefix="/events")
        events.add_url_rule("", "bundle", self.receive, methods=["POST"])
        events.add_url_rule("/", "slash", self.receive, methods=["POST"])  # an endpoint may be configured with it
        events.add_url_rule("/<type_>", "typed", self.receive, methods=["POST", "PUT"])
        events.add_url_rule("/<type_>/<id_>", "resource", self.receive, methods=["POST", "PUT", "DELETE"])
        return events

    def lane(self) -> Lane:
        """The short way to `take`."""
        post, put, delete = "POST", "PUT", "DELETE"
        routes = {
            0: ("/events", frozenset({post})),
            1: ("/events/<type_>", frozenset({post, put})),
            2: ("/events/<type_>/<id_>", frozenset({post, put, delete})),
        }
        count, most = self._metrics.count, self._settings.max_body_bytes
        return Lane("/events", self.take, routes, count=count, max_body_bytes=most, soon=self.take_soon)

    def receive(self, type_: str | None = None, id_: str | None = None) -> Response:
        """The view for Flask."""
        asked = Asked(request.method, request.path, request.headers, body_of_request(request))
        return response_of(self.take(asked, type_, id_))

    def take(self, asked: Asked, type_: str | None = None, id_: str | None = None) -> Reply:
        """Accept one body. 202 where something is new, 200 where nothing is; a PUT gets its resource back with 200.

        It runs on services.lane, so it and what it calls look at `asked` and never at flask.request.
        """
        arrived = self._read(asked, type_, id_)
        return self._reply(arrived, self._inbox.accept(arrived.wanted))

    def take_soon(self, asked: Asked, type_: str | None = None, id_: str | None = None) -> Awaitable[Reply] | None:
        """The same on an event loop; None where it would hold it up: a large body, keys or a look that take a while."""
        if len(asked.body) > LONG_BYTES or self._room.due() or self._gate.may_wait(asked):
            return None
        return self._after_commit(self._read(asked, type_, id_))

    async def _after_commit(self, arrived: "Arrived") -> Reply:
        return self._reply(arrived, await self._inbox.accept_soon(arrived.wanted) if arrived.wanted else [])

    def _read(self, asked: Asked, type_: str | None, id_: str | None) -> "Arrived":
        """What came, if its sender may send it and there is room for it."""
        caller = self._gate.sender(asked, asked.body)
        if not asked.body and asked.method == "POST" and "Transfer-Encoding" in asked.headers:
            raise BadRequest(UNREADABLE)  # the web server ends what it cannot read as chunks without a word
        self._room.check()
        now = dt.datetime.now(dt.UTC)
        what = meant(asked, type_, id_)
        parsed = events_of(
            what.body,
            source=caller.name,
            base=caller.bases[0] if caller.bases else None,
            several=self._gate.several,
            path_type=what.type_,
            path_id=what.id_,
            method=what.method,
            max_depth=self._settings.max_json_depth,
            arrival=now.isoformat(),
            aliases=caller.aliases,
            types=caller.resource_types,
            readable=caller.readable,
            delivery=what.delivery,
        )
        types = caller.resource_types
        allowed = [types is None or event.resource_type in types for event in parsed.events]
        wanted = [event for event, ok in zip(parsed.events, allowed, strict=True) if ok]
        if parsed.notice is not None:
            wanted.append(parsed.notice)
        return Arrived(parsed, allowed, wanted, now)

    def _reply(self, arrived: "Arrived", accepted: Sequence[Receipt]) -> Reply:
        """What the sender hears. The wake-up follows the commit and may fail without harm."""
        new = [receipt.event for receipt in accepted if not receipt.repeat]
        self._count(len(new), len(accepted) - len(new))
        if new:
            self._waker.wake("event", new)
        parsed = arrived.parsed
        rest = iter(accepted)
        receipts = [*(next(rest) if ok else None for ok in arrived.allowed), *rest]
        unwanted = [
            Issue(event.resource_type, f"{event.resource_type} is not among the types configured for this sender")
            for event, ok in zip(parsed.events, arrived.allowed, strict=True)
            if not ok
        ]
        skipped = [*parsed.skipped, *unwanted]
        status = 202 if new and parsed.kind != "handshake" else 200
        match parsed.reply:
            case "resource":  # HAPI reads the answer to its PUT as the resource
                return fhir_reply(parsed.resource, 200, {"VBQ-Receipt": receipt_text(receipts)})
            case "bundle-response":
                return fhir_reply(encode(bundle_response(parsed, receipts)), status)
            case "message-response":
                answer = message_response(
                    parsed.header or {},
                    receipts,
                    skipped,
                    endpoint=f"{self._settings.base_url}/events",
                    now=arrived.at.isoformat(timespec="milliseconds"),
                )
                return fhir_reply(answer, status)
            case _:
                return fhir_reply(encode(receipt_outcome(receipts, skipped)), status)

    def _count(self, new: int, repeats: int) -> None:
        if new:
            self._new.inc(new)
        if repeats:
            self._repeats.inc(repeats)


class Arrived(NamedTuple):
    """A body that was read: what is in it, which of it its sender may push, and what goes into the inbox."""

    parsed: ParsedEvents
    allowed: list[bool]
    wanted: list[IncomingEvent]
    at: dt.datetime
