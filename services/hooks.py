"""CDS Hooks: discovery, the three services, feedback. A call reads one stored result; little else is ever needed."""

import time
from importlib.metadata import version
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from gateways.card_policy import card_policy
from gateways.fhir.ehr_reads import Loan
from gateways.records.feedback import CardFeedback, is_quiet
from gateways.settings import Settings
from schemas.cds import FeedbackEntry, HookRequest, Service, read_feedback, read_request
from schemas.config import Language
from schemas.errors import Issue, NotAcceptable
from services.answers import dumps, json_reply, plain_json, reply_of, response_of
from services.asked import Asked, Reply
from services.audited import Audited
from services.auth import Caller, Gate
from services.bodies import body_of_request, json_object
from services.card_answers import NO_CARDS, CardAnswers
from services.card_ids import card_of, clinician_tag
from services.cards import OVERRIDE_REASONS, Extras, ReviewLink
from services.cors import Cors
from services.discovery import SERVICES, discovery
from services.first_answers import Call, FirstAnswers, Found
from services.lane import Lane
from services.locales import Locale, choose, locales_of
from services.metrics import Metrics
from services.orders import Moment, Orders
from services.outside import Outside
from services.patience import Patience, at_once
from services.problems import answer

DISTRIBUTION: Final = "vbq-cds"
READING_THREADS: Final = 16
IN_WORDS: Final = "in-words"  # an override whose reason is a comment


class Hooks:
    """GET /cds-services, POST /cds-services/{id} and its feedback."""

    def __init__(self, settings: Settings, gate: Gate, outside: Outside, metrics: Metrics) -> None:
        config = settings.structured()
        self._settings = settings
        self._gate = gate
        self._results = outside.results
        self._feedback = outside.feedback
        self._audited = Audited(outside.audit)
        self._policy = card_policy(config.cds.policy_file)
        self._locales = locales_of(self._policy)
        self._languages: dict[str, Language | None] = {row.name: row.language for row in config.cds_clients}
        self._launches = {row.name for row in config.cds_clients if row.smart is not None}
        self._orders = Orders(self._policy)
        self._answers = CardAnswers(outside.models, settings.base_url, self._policy)
        self._wait = at_once if outside.database.is_sqlite else Patience(threads=READING_THREADS)
        self._budget_seconds = config.cds.budget_ms / 1000
        self._firsts = FirstAnswers(
            database=outside.database,
            results=outside.results,
            models=outside.models,
            kickoff=outside.kickoff if config.cds.keep_prefetch else None,
            reads=outside.reads,
            orders=self._orders,
            merge=config.merge,
            fetch_seconds=config.cds.fetch_ms / 1000,
            software=f"{DISTRIBUTION} {version(DISTRIBUTION)}",
        )
        self._metrics = metrics
        self._discovery = dumps(discovery().document())

    def blueprint(self) -> Blueprint:
        hooks = Blueprint("hooks", __name__, url_prefix="/cds-services")
        hooks.add_url_rule("", "discover", self.discover)
        hooks.add_url_rule("/<name>", "call", self.receive, methods=["POST"])
        hooks.add_url_rule("/<name>/feedback", "feedback", self.feedback, methods=["POST"])
        Cors(everybody=not self._settings.dev_open, clients=self._gate.clients).watch(hooks)
        return hooks

    def discover(self) -> Response:
        """What services there are."""
        self._gate.discoverer(request)
        return plain_json(self._discovery)

    def lane(self) -> Lane:
        """The short way to `call`; a browser's calls, which need CORS headers, go by Flask."""
        routes = {1: ("/cds-services/<name>", frozenset({"POST"}))}
        most = self._settings.max_body_bytes
        return Lane("/cds-services", self.call, routes, count=self._metrics.count, max_body_bytes=most, browsers=False)

    def receive(self, name: str) -> Response:
        """The view for Flask."""
        asked = Asked(request.method, request.path, request.headers, body_of_request(request))
        return response_of(self.call(asked, name))

    def call(self, came: Asked, name: str) -> Reply:
        """The cards about the patient of the context: 200, also where there are none.

        It runs on services.lane, so it and what it calls look at `came` and never at flask.request.
        """
        caller = self._gate.client(came)
        service = service_called(name)
        document = json_object(came.body, self._settings.max_json_depth)
        if isinstance(document.get("hook"), str) and document["hook"] != service.hook:
            raise BadRequest(f"request.hook: this service answers {service.hook} alone")
        asked = read_request(document)
        moment = self._orders.moment(service.hook, asked.context.draft_orders, asked.context.selections)
        locale = self._locale(caller, came.headers.get("Accept-Language"))
        return self._answer(caller, asked, moment, self._call_of(asked, caller), locale)

    def _answer(self, caller: Caller, asked: HookRequest, moment: Moment, call: Call, locale: Locale) -> Reply:
        until = time.monotonic() + self._budget_seconds
        clinician = clinician_tag(call.patient, asked.context.user_id)
        view = self._wait(lambda: self._results.view(call.patient), until)
        if not view.known:
            return self._say(moment, "nobody", NO_CARDS.body)
        wants_treatment = "fracture_liaison" in self._policy.show[moment.trigger].suggestions
        found = self._wait(lambda: self._firsts.look(view, call, wants_treatment=wants_treatment), until)
        shown = found.view.brief
        self._audited.cards(
            caller,
            call.patient,
            user=asked.context.user_id,
            hook=moment.hook,
            shown=shown.id if shown is not None else None,
        )
        for key, problem in found.problems:
            self._metrics.prefetch.labels(key, problem).inc()
        if found.not_had and self._policy.missing_data == "412":
            return reply_of(cannot_be_had(found))
        made = self._answers.of(
            found.view,
            moment,
            locale,
            clinician=clinician,
            hook_instance=asked.hook_instance,
            extras=Extras(found.first, found.not_had, found.treatment, self._review(caller)),
        )
        if made.indicators and self._is_quiet(call, clinician, moment, found, until):
            return self._say(moment, "silenced", NO_CARDS.body)
        for indicator in made.indicators:
            self._metrics.cards.labels(moment.hook, indicator).inc()
        result = "first-answer" if found.first else "card"
        return self._say(moment, result if made.indicators else "below-threshold", made.body)

    def _is_quiet(self, call: Call, clinician: str, moment: Moment, found: Found, until: float) -> bool:
        shown = found.view.brief
        if shown is None or self._policy.quiet_days == 0:
            return False
        ruling = self._wait(
            lambda: self._feedback.ruling(call.patient, clinician, moment.phase, client=call.client), until
        )
        return is_quiet(ruling, shown, now=time.time(), quiet_days=self._policy.quiet_days)

    def _say(self, moment: Moment, result: str, body: bytes) -> Reply:
        self._metrics.hook_calls.labels(moment.hook, moment.trigger, result).inc()
        return json_reply(body)

    def feedback(self, name: str) -> Response:
        """Keep what was done with the cards. Repeats change nothing and are answered alike."""
        caller = self._gate.client(request)
        service = service_called(name)
        entries = [entry_of(row) for row in read_feedback(self._document()).feedback]
        for row in self._feedback.keep(name, caller.name, entries, bases=caller.bases):
            reason = row.reason if row.reason in (None, IN_WORDS, *OVERRIDE_REASONS) else "other"
            labels = (service.hook, row.outcome, reason or "none", row.model_version or "unknown")
            self._metrics.feedback.labels(*labels).inc()
        return plain_json({})

    def _call_of(self, asked: HookRequest, caller: Caller) -> Call:
        """Whose chart it is, from which server. 400 where the EHR names a FHIR server that is not configured: p1 there
        is not p1 here. Its token is used for a server that is configured for this very client, and for no other.
        """
        stated = asked.fhir_server.rstrip("/") if asked.fhir_server else None
        known = caller.bases or self._gate.bases
        if known and stated is not None and stated not in known:
            raise BadRequest("request.fhirServer is not a FHIR server that is configured for this CDS client")
        lent = asked.fhir_authorization
        loan = None
        if lent is not None and stated is not None and stated in caller.bases:
            loan = Loan(stated, lent.access_token.get_secret_value(), caller.private_network)
        if stated is None and len(known) == 1:
            stated = known[0]
        patient_id = asked.context.patient_id
        try:
            patient = self._gate.chart(patient_id, stated)
        except NotAcceptable as error:
            raise BadRequest("request.fhirServer must be sent: patients of several servers are known here") from error
        source = f"cds-{caller.name}"[:64]
        prefetch = asked.prefetch or {}
        return Call(patient, patient_id, source, stated, self._gate.several, prefetch, loan, caller.name)

    def _review(self, caller: Caller) -> ReviewLink:
        """How the caller's clinicians can open the review page."""
        if caller.kind == "open":
            return "absolute"
        return "smart" if caller.name in self._launches else "none"

    def _locale(self, caller: Caller, accepted: str | None) -> Locale:
        return choose(
            self._locales,
            stated=self._languages.get(caller.name),
            accepted=accepted,
            default=self._policy.language,
        )

    def _document(self) -> dict[str, Any]:
        return json_object(body_of_request(), self._settings.max_json_depth)


def service_called(name: str) -> Service:
    """The service with this id; 404 where there is none."""
    service = SERVICES.get(name)
    if service is None:
        raise NotFound("there is no such service; GET /cds-services lists them")
    return service


def cannot_be_had(found: Found) -> Response:
    """412 that names what is missing (requirement 21)."""
    issues = [
        Issue(f"request.prefetch.{key}", "is needed for a risk; it was not sent and could not be fetched")
        for key in found.not_had
    ]
    return answer(412, "needed data could not be had", issues)


def entry_of(row: FeedbackEntry) -> CardFeedback:
    """One entry, with what its card's id says. A reason in words counts as one."""
    given = row.override_reason
    reason = given.reason.code[:64] if given and given.reason else None
    if reason is None and given and (given.user_comment or "").strip():
        reason = IN_WORDS
    about = card_of(row.card)
    body = dumps(row.model_dump(by_alias=True, exclude_none=True))
    entry = CardFeedback(row.card, row.outcome, row.outcome_timestamp, body, reason)
    if about is None:
        return entry
    phase = "chart" if about.trigger == "chart" else "order"
    return entry._replace(assessment_prefix=about.prefix, clinician=about.clinician, phase=phase)
