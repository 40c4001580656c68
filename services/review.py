"""GET /review/{assessment}: what stands behind a card, for the clinician whose EHR vouched for the patient."""

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import Forbidden, NotFound

from gateways.records.pictures import KeptPicture, Pictures
from gateways.settings import Settings
from schemas.assessment import Assessment
from schemas.errors import ModelRefused
from services.audited import Audited
from services.auth import Gate, refused
from services.launch import Launch, is_uuid
from services.outside import Outside
from services.people import for_people
from services.review_page import page_of


class Review:
    """The page and its picture. In development everybody on this machine may look."""

    def __init__(self, settings: Settings, gate: Gate, launch: Launch, outside: Outside, software: str) -> None:
        self._open = settings.dev_open
        self._gate = gate
        self._launch = launch
        self._results = outside.results
        self._models = outside.models
        self._audited = Audited(outside.audit)
        self._pictures = Pictures(outside.database)
        self._software = software

    def blueprint(self) -> Blueprint:
        pages = Blueprint("review", __name__, url_prefix="/review")
        pages.add_url_rule("/<identifier>", "page", self.page)
        pages.add_url_rule("/<identifier>/slice.png", "picture", self.picture)
        for_people(pages)
        return pages

    def page(self, identifier: str) -> str:
        """Everything that is stored about one assessment. 401 without a session, 403 for another patient's."""
        wanted, client = self._allowed(identifier)
        self._audited.page(client, wanted)
        history = self._results.history(wanted.patient)
        return render_template(
            "review.html",
            page=page_of(wanted, history, self._picture(wanted)),
            a=wanted,
            revoked=wanted.risk is not None and self._revoked(wanted.model.digest),
            software=self._software,
        )

    def picture(self, identifier: str) -> Response:
        """The slice that was measured, without the regions."""
        found = self._picture(self._allowed(identifier)[0])
        if found is None:
            raise NotFound("no picture was kept of this measurement; it is in the PACS")
        return Response(found.png, content_type="image/png")

    def _allowed(self, identifier: str) -> tuple[Assessment, str]:
        """The assessment, and the client whose EHR vouched for the reader (empty in development)."""
        session = None
        if self._open:
            self._gate.client(request)  # refuses another host's name
        else:
            session = self._launch.session()
            if session is None:
                raise refused(
                    "open this page from a card in the EHR; a page that was open for long must be opened anew"
                )
        found = self._results.assessment(identifier) if is_uuid(identifier) else None
        if found is None:
            raise NotFound("there is no such assessment")
        if session is not None and session.patient != found.patient:
            raise Forbidden("this assessment is not of the patient whose chart is open in the EHR")
        return found, session.client if session is not None else ""

    def _revoked(self, digest: str) -> bool:
        """Whether the model was taken back. The record stays as it was made; the page says that it does not count."""
        try:
            return digest in self._models.state().revoked
        except ModelRefused:
            return False  # its log cannot be read: `vbq doctor` says so

    def _picture(self, assessment: Assessment) -> KeptPicture | None:
        measured = assessment.measurement
        if measured is None or measured.slice is None:
            return None
        return self._pictures.get(assessment.patient, measured.slice.sop_instance_uid)
