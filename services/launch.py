"""SMART App Launch: from a card's link in the EHR to the review page, for the patient whose chart is open there.

    EHR --/launch?iss&launch--> its authorization server --/callback?code&state--> token: whose chart --> /review/{id}

What must come back to us (state, PKCE verifier, which EHR) stays in the browser's own cookie, so that a stranger who
calls /launch writes nothing here; the session that follows is a row that all replicas read. An `iss` counts only where
it is a FHIR server of a configured client, and the token's patient must be the assessment's.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, redirect, request
from werkzeug.exceptions import BadRequest, Forbidden, NotFound
from werkzeug.wrappers import Response

from gateways.access.review_sessions import ReviewSession, ReviewSessions
from gateways.access.smart_launch import LaunchContext, SmartServer
from gateways.records.results import Results
from gateways.settings import LOOPBACK, Settings
from schemas.assessment import Assessment
from schemas.config import CdsClient
from schemas.errors import NotConfigured
from services.people import for_people

LAUNCH_SECONDS: Final = 600
MOST: Final = 4096  # characters of a parameter that the EHR gives us
_LAUNCH: Final = re.compile(r"[\x21-\x7e]{1,4096}")

log = logging.getLogger(__name__)


class Begun(NamedTuple):
    """What a browser holds while its clinician logs in."""

    state: str
    verifier: str
    base: str


class Launch:
    """/launch and /callback, and who holds a session."""

    def __init__(
        self,
        settings: Settings,
        sessions: ReviewSessions,
        results: Results,
        environ: Mapping[str, str],
        *,
        several: bool,
        chart: Callable[[str, str | None], str],
    ) -> None:
        """`chart`: Gate.chart. Raises NotConfigured where a client's registration cannot work."""
        config = settings.structured()
        self._sessions = sessions
        self._results = results
        self._chart = chart
        self._seconds = config.review.session_minutes * 60
        self._redirect_uri = f"{settings.base_url}/callback"
        self._secure = settings.base_url.startswith("https:")
        self._servers: dict[str, tuple[str, SmartServer]] = {}
        for client in config.cds_clients:
            self._servers |= servers_of(client, environ)
        if self._servers and not (self._secure or urlsplit(settings.base_url).hostname in LOOPBACK):
            raise NotConfigured(
                "cds_clients.smart needs VBQ_PUBLIC_URL to be our https address: a session must not travel in the clear"
            )
        if self._servers and not several and len({base for row in config.cds_clients for base in bases_of(row)}) > 1:
            raise NotConfigured(
                "cds_clients name several FHIR servers, and the senders do not: p1 of one could be shown as p1 of "
                "another; give every sender its fhir_base_url, or leave smart out"
            )

    def blueprint(self) -> Blueprint:
        pages = Blueprint("launch", __name__)
        pages.add_url_rule("/launch", "launch", self.launch)
        pages.add_url_rule("/callback", "callback", self.callback)
        for_people(pages)
        return pages

    def session(self) -> ReviewSession | None:
        """The session of the browser that asks; None where it has none."""
        return self._sessions.get(request.cookies.get(self._name("review"), ""))

    def launch(self) -> Response:
        """Send the browser to the EHR's authorization server."""
        found = self._servers.get(request.args.get("iss", "").rstrip("/"))
        if found is None:
            raise Forbidden("`iss` is not a FHIR server that is configured for a launch (cds_clients, smart)")
        launch = request.args.get("launch", "")
        if not _LAUNCH.fullmatch(launch):
            raise BadRequest("`launch` is missing: open this page from a card in the EHR")
        _, server = found
        begun = Begun(secrets.token_urlsafe(24), secrets.token_urlsafe(48), server.base)
        digest = hashlib.sha256(begun.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": server.app.client_id,
            "redirect_uri": self._redirect_uri,
            "launch": launch,
            "scope": server.app.scopes,
            "state": begun.state,
            "aud": request.args["iss"],
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        url = server.endpoints().authorize
        answer = redirect(f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}", 302)
        self._put(answer, self._launch_cookie(begun.state), packed(begun), LAUNCH_SECONDS)
        return answer

    def callback(self) -> Response:
        """Learn from the EHR whose chart is open, and open the page of that patient's assessment."""
        begun = self._begun(request.args.get("state", ""))
        found = self._servers.get(begun.base)
        if found is None:
            raise Forbidden("the EHR of this launch is not configured any more")
        name, server = found
        code = request.args.get("code", "")
        if "error" in request.args or not _LAUNCH.fullmatch(code):
            raise Forbidden("the EHR did not let this app see the chart; ask its administrator")
        context = server.exchange(code, begun.verifier, self._redirect_uri)
        patient = self._chart(context.patient_id, server.base)
        wanted = self._wanted(context, patient)
        log.info("a review page was opened", extra={"client": name, "code": "review-opened"})
        answer = redirect(f"/review/{wanted.id}", 303)
        answer.delete_cookie(self._launch_cookie(begun.state), path="/", secure=self._secure, httponly=True)
        self._put(answer, self._name("review"), self._sessions.open(name, patient, self._seconds), self._seconds)
        return answer

    def _wanted(self, context: LaunchContext, patient: str) -> Assessment:
        """The card's assessment, else the one that counts now. Never another patient's."""
        asked = context.app_context
        wanted = self._results.assessment(asked) if asked is not None and is_uuid(asked) else None
        if wanted is None:
            wanted = self._results.current(patient)
        if wanted is None:
            raise NotFound("nothing is stored about the patient whose chart is open")
        if wanted.patient != patient:
            log.warning("a launch was for another patient", extra={"code": "review-other-patient"})
            raise Forbidden("this assessment is not of the patient whose chart is open in the EHR")
        return wanted

    def _begun(self, state: str) -> Begun:
        """What this browser began. 403 where it is another browser's launch, or one that is too old."""
        held = request.cookies.get(self._launch_cookie(state), "") if 0 < len(state) <= MOST else ""
        begun = unpacked(held)
        if begun is None or not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise Forbidden("this launch was begun in another browser or is too old; open the page from the EHR again")
        return begun

    def _launch_cookie(self, state: str) -> str:
        """One per launch: two charts may be opened at the same time."""
        return self._name(f"launch-{hashlib.sha256(state.encode()).hexdigest()[:12]}")

    def _name(self, what: str) -> str:
        """`__Host-`: no other host, path or plain-text page can have set it."""
        return f"__Host-vbq-{what}" if self._secure else f"vbq-{what}"

    def _put(self, answer: Response, name: str, value: str, seconds: int) -> None:
        # Lax, since the browser comes back to us from the EHR's server by a redirect
        answer.set_cookie(name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="Lax")


def servers_of(client: CdsClient, environ: Mapping[str, str]) -> dict[str, tuple[str, SmartServer]]:
    """The FHIR servers that a client may launch from, by base without a slash at its end."""
    if client.smart is None:
        return {}
    bases = bases_of(client)
    for base in bases:
        parts = urlsplit(base)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise NotConfigured("cds_clients.smart needs fhir_base_urls with https")
    return {
        base: (
            client.name,
            SmartServer(base, client.smart, private_network=client.private_network, environ=environ),
        )
        for base in bases
    }


def bases_of(client: CdsClient) -> list[str]:
    """The client's FHIR servers without a slash at the end."""
    return [base.rstrip("/") for base in client.fhir_base_urls]


def packed(begun: Begun) -> str:
    """As a cookie's value."""
    return base64.urlsafe_b64encode(json.dumps(list(begun)).encode()).decode()


def unpacked(value: str) -> Begun | None:
    """The reverse; None for what is none of ours."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(value.encode()))
    except (ValueError, RecursionError):
        return None
    if not (isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts)):
        return None
    return Begun(*parts)


def is_uuid(value: str) -> bool:
    """Whether `value` is written as our ids are."""
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False
