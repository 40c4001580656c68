"""What we made, read-only: RiskAssessment, Observation, Device, Provenance."""

import json
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotAcceptable, NotFound

from gateways.records.results import Results
from gateways.settings import Settings
from schemas.errors import NotAcceptable as WrongReference
from schemas.fhir.capability import SEARCHES, capability_statement
from schemas.fhir.reference import ID, base_of, patient_key
from services.answers import fhir_json
from services.audited import Audited
from services.auth import Caller, Gate

TYPES = tuple(SEARCHES)
COMMON = ("_count", "_offset", "_format")
DEFAULT_COUNT, LARGEST_COUNT = 50, 200
FORMATS = ("json", "application/json", "application/fhir+json")


class FhirRead:
    """GET /fhir/metadata, /fhir/{Type} and /fhir/{Type}/{id}."""

    def __init__(self, settings: Settings, gate: Gate, results: Results, audited: Audited, software: str) -> None:
        self._base = f"{settings.base_url}/fhir"
        self._gate = gate
        self._results = results
        self._audited = audited
        self._software = software

    def blueprint(self) -> Blueprint:
        fhir = Blueprint("fhir", __name__, url_prefix="/fhir")
        fhir.add_url_rule("/metadata", "metadata", self.metadata)
        kinds = f"<any({', '.join(TYPES)}):type_>"
        fhir.add_url_rule(f"/{kinds}", "search", self.search)
        fhir.add_url_rule(f"/{kinds}/<id_>", "read", self.read)
        return fhir

    def metadata(self) -> Response:
        """What can be done here; open to everybody."""
        check_format()
        return fhir_json(capability_statement(self._base, self._software))

    def read(self, type_: str, id_: str) -> Response:
        """One resource. 404 also where it is of another FHIR server's patient than the caller may see."""
        caller = self._gate.reader(request)
        check_format()
        body = self._results.resource(type_, id_) if ID.fullmatch(id_) else None
        if body is None or not self._may_see(caller, type_, id_):
            raise NotFound("there is no such resource")
        self._audited.resource(caller, f"{type_}/{id_}", self._results.patient_of(type_, id_))
        return fhir_json(body)

    def search(self, type_: str) -> Response:
        """A searchset, newest first, in pages."""
        caller = self._gate.reader(request)
        check_format()
        check_parameters(type_)
        patient = self._patient(caller)
        identifier = request.args.get("identifier")
        count = number("_count", DEFAULT_COUNT, LARGEST_COUNT)
        offset = number("_offset", 0, 10**9)
        page = self._results.search(type_, patient=patient, identifier=identifier, count=count, offset=offset)
        asked = {"patient": patient, "identifier": identifier}
        query = urlencode({name: value for name, value in asked.items() if value})
        self._audited.search(caller, f"{type_}?{query}", patient, len(page.bodies))
        links = [{"relation": "self", "url": self._link(type_, asked, count, offset)}]
        if count and offset + count < page.total:
            links.append({"relation": "next", "url": self._link(type_, asked, count, offset + count)})
        if offset:
            links.append({"relation": "previous", "url": self._link(type_, asked, count, max(0, offset - count))})
        found: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links}
        if page.bodies:
            found["entry"] = [self._entry(type_, json.loads(body)) for body in page.bodies]
        return fhir_json(found)

    def _entry(self, type_: str, resource: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._base}/{type_}/{resource['id']}"
        return {"fullUrl": url, "resource": resource, "search": {"mode": "match"}}

    def _link(self, type_: str, asked: dict[str, str | None], count: int, offset: int) -> str:
        values = {**asked, "_count": str(count), "_offset": str(offset) if offset else None}
        return f"{self._base}/{type_}?" + urlencode({name: value for name, value in values.items() if value})

    def _patient(self, caller: Caller) -> str | None:
        """The key of the patient that the request asks about; `p1`, `Patient/p1` and the absolute URL are one."""
        stated = request.args.get("patient") or request.args.get("subject")
        if stated is None:
            if self._gate.several and caller.bases:
                raise BadRequest("several FHIR servers are configured: say which patient with patient=Patient/id")
            return None
        reference = stated if "/" in stated else f"Patient/{stated}"
        bases = caller.bases or self._gate.bases
        try:
            key = patient_key(reference, bases[0] if len(bases) == 1 else None, self._gate.several)
        except WrongReference as error:
            raise BadRequest(error.detail) from error
        if self._gate.several and caller.bases and base_of(key) not in caller.bases:
            raise BadRequest("this caller is not configured for the FHIR server of that patient")
        return key

    def _may_see(self, caller: Caller, type_: str, id_: str) -> bool:
        """Whose it is says the row, not the resource: a Provenance names no subject."""
        if not (self._gate.several and caller.bases):
            return True
        patient = self._results.patient_of(type_, id_)
        return patient is None or base_of(patient) in caller.bases


def check_format() -> None:
    """406 where the caller wants something else than JSON."""
    stated = request.args.get("_format")
    if stated is not None and stated not in FORMATS:
        raise NotAcceptable("JSON is the only format: _format=json")


def check_parameters(type_: str) -> None:
    """400 for a parameter that we do not know: ignoring it would show more than was asked for."""
    known = parameters_of(type_)
    if any(name not in known for name in request.args):
        raise BadRequest(f"the search parameters here are {', '.join(known)}")
    if any(len(values) > 1 for values in request.args.listvalues()):
        raise BadRequest("each search parameter may be given once")
    if "patient" in request.args and "subject" in request.args:
        raise BadRequest("patient and subject are the same parameter; give one of them")
    if any(not value.isprintable() for value in request.args.values()):
        raise BadRequest("a search parameter holds a character that cannot be printed")


def parameters_of(type_: str) -> tuple[str, ...]:
    """The search parameters of `type_`."""
    return (*SEARCHES[type_], *COMMON)


def number(name: str, default: int, largest: int) -> int:
    """A non-negative whole number, at most `largest`."""
    stated = request.args.get(name)
    if stated is None:
        return default
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 12):
        raise BadRequest(f"{name} must be a whole number, 0 or more")
    return min(int(stated), largest)
