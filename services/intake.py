"""Where events come in: authenticated, parsed narrowly, on disk before the sender hears 202."""

import datetime as dt
from collections.abc import Sequence

from flask import Blueprint, Response, request
from werkzeug.wrappers import Request

from gateways.queue.room import Room
from gateways.settings import Settings
from schemas.errors import Issue
from schemas.events import Receipt
from schemas.fhir.events import ParsedEvents, events_of
from services.answers import dumps, fhir_json
from services.auth import Caller, Gate
from services.bodies import body_of_request
from services.dialects import meant
from services.event_replies import bundle_response, message_response, receipt_outcome, receipt_text
from services.lane import Lane
from services.metrics import Metrics
from services.outside import Outside


class Intake:
    """POST /events and PUT, POST, DELETE /events/{Type}[/{id}]."""

    def __init__(self, settings: Settings, gate: Gate, outside: Outside, metrics: Metrics) -> None:
        self._settings = settings
        self._gate = gate
        self._inbox = outside.inbox
        self._waker = outside.waker
        self._metrics = metrics
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
        return Lane(
            "/events", self.take, routes, count=self._metrics.count, max_body_bytes=self._settings.max_body_bytes
        )

    def receive(self, type_: str | None = None, id_: str | None = None) -> Response:
        """The view for Flask."""
        return self.take(request, type_, id_)

    def take(self, asked: Request, type_: str | None = None, id_: str | None = None) -> Response:
        """Accept one body. 202 where something is new, 200 where nothing is; a PUT gets its resource back with 200.

        It runs on services.lane, so it and what it calls look at `asked` and never at flask.request.
        """
        body = body_of_request(asked)
        caller = self._gate.sender(asked, body)
        self._room.check()
        now = dt.datetime.now(dt.UTC)
        what = meant(asked, type_, id_, body)
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
        receipts, unwanted = self._accept(parsed, caller)
        return self._reply(parsed, receipts, [*parsed.skipped, *unwanted], now)

    def _accept(self, parsed: ParsedEvents, caller: Caller) -> tuple[list[Receipt | None], list[Issue]]:
        """The receipts, and what this sender may not push. The wake-up follows the commit and may fail without harm."""
        allowed = [
            caller.resource_types is None or event.resource_type in caller.resource_types for event in parsed.events
        ]
        wanted = [event for event, ok in zip(parsed.events, allowed, strict=True) if ok]
        accepted = self._inbox.accept([*wanted, *([parsed.notice] if parsed.notice else [])])
        for receipt in accepted:
            self._metrics.events.labels("repeat" if receipt.repeat else "new").inc()
        self._waker.wake("event", [receipt.event for receipt in accepted if not receipt.repeat])
        rest = iter(accepted)
        unwanted = [
            Issue(event.resource_type, f"{event.resource_type} is not among the types configured for this sender")
            for event, ok in zip(parsed.events, allowed, strict=True)
            if not ok
        ]
        return [*(next(rest) if ok else None for ok in allowed), *rest], unwanted

    def _reply(
        self, parsed: ParsedEvents, receipts: Sequence[Receipt | None], skipped: Sequence[Issue], now: dt.datetime
    ) -> Response:
        fresh = any(receipt is not None and not receipt.repeat for receipt in receipts)
        status = 202 if fresh and parsed.kind != "handshake" else 200
        match parsed.reply:
            case "resource":  # HAPI reads the answer to its PUT as the resource
                return fhir_json(parsed.resource, 200, {"VBQ-Receipt": receipt_text(receipts)})
            case "bundle-response":
                return fhir_json(bundle_response(parsed, receipts), status)
            case "message-response":
                answer = message_response(
                    parsed.header or {},
                    receipts,
                    skipped,
                    endpoint=f"{self._settings.base_url}/events",
                    now=now.isoformat(timespec="milliseconds"),
                )
                return fhir_json(dumps(answer), status)
            case _:
                return fhir_json(receipt_outcome(receipts, skipped), status)
