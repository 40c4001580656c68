"""CDS Hooks: discovery, the three services, feedback. A call reads one stored result; nothing is fetched."""

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from gateways.feedback import CardFeedback
from gateways.settings import Settings
from schemas.cds import FeedbackEntry, HookRequest, read_feedback, read_request
from schemas.errors import NotAcceptable
from schemas.fhir.reference import patient_key
from services.answers import dumps, plain_json
from services.auth import Caller, Gate
from services.bodies import body_of_request, json_object
from services.card_answers import CardAnswers
from services.cors import Cors
from services.discovery import SERVICES, discovery
from services.metrics import Metrics
from services.outside import Outside


class Hooks:
    """GET /cds-services, POST /cds-services/{id} and its feedback."""

    def __init__(self, settings: Settings, gate: Gate, outside: Outside, metrics: Metrics) -> None:
        self._settings = settings
        self._gate = gate
        self._results = outside.results
        self._feedback = outside.feedback
        self._answers = CardAnswers(outside.models, settings.base_url)
        self._metrics = metrics
        self._discovery = dumps(discovery().document())

    def blueprint(self) -> Blueprint:
        hooks = Blueprint("hooks", __name__, url_prefix="/cds-services")
        hooks.add_url_rule("", "discover", self.discover)
        hooks.add_url_rule("/<name>", "call", self.call, methods=["POST"])
        hooks.add_url_rule("/<name>/feedback", "feedback", self.feedback, methods=["POST"])
        Cors(everybody=not self._settings.dev_open, clients=self._gate.clients).watch(hooks)
        return hooks

    def discover(self) -> Response:
        """What services there are."""
        self._gate.discoverer(request)
        return plain_json(self._discovery)

    def call(self, name: str) -> Response:
        """The cards about the patient of the context: 200, also where there are none."""
        caller = self._gate.client(request)
        service = SERVICES.get(name)
        if service is None:
            raise NotFound("there is no such service; GET /cds-services lists them")
        asked = read_request(self._document())
        if asked.hook != service.hook:
            raise BadRequest(f"request.hook: this service answers {service.hook} alone")
        view = self._results.view(self._patient(asked, caller))
        answer = self._answers.of(view, service.hook, asked.hook_instance)
        for indicator in answer.indicators:
            self._metrics.cards.labels(service.hook, indicator).inc()
        return plain_json(answer.body)

    def feedback(self, name: str) -> Response:
        """Keep what was done with the cards. Repeats change nothing and are answered alike."""
        caller = self._gate.client(request)
        if name not in SERVICES:
            raise NotFound("there is no such service; GET /cds-services lists them")
        entries = [
            CardFeedback(row.card, row.outcome, row.outcome_timestamp, as_sent(row))
            for row in read_feedback(self._document()).feedback
        ]
        if not all(row.card.isprintable() for row in entries):
            raise BadRequest("request.feedback: a card's uuid holds a character that cannot be printed")
        self._feedback.store(name, caller.name, entries)
        return plain_json({})

    def _patient(self, asked: HookRequest, caller: Caller) -> str:
        """The key of the patient. 400 where the EHR names a FHIR server that is not configured: p1 there is not p1
        here.
        """
        stated = asked.fhir_server.rstrip("/") if asked.fhir_server else None
        known = caller.bases or self._gate.bases
        if known and stated is not None and stated not in known:
            raise BadRequest("request.fhirServer is not a FHIR server that is configured for this CDS client")
        if stated is None and len(known) == 1:
            stated = known[0]
        try:
            return patient_key(f"Patient/{asked.context.patient_id}", stated, self._gate.several)
        except NotAcceptable as error:
            raise BadRequest("request.fhirServer must be sent: patients of several servers are known here") from error

    def _document(self) -> dict[str, Any]:
        return json_object(body_of_request(), self._settings.max_json_depth)


def as_sent(entry: FeedbackEntry) -> bytes:
    """What we read of one entry, as JSON."""
    return dumps(entry.model_dump(by_alias=True, exclude_none=True))
