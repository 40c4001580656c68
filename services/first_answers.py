"""A first answer when the stored one lacks what this very call brings: scored on the spot, marked, and passed on.

stored VBQ + stored facts + prefetched or fetched facts --vbq.assess--> an assessment that is shown and not stored

What was prefetched then goes into the inbox (services/kickoff.py), so that the workers make the full assessment of the
same facts. Nothing is scored that the workers would not score: the same function decides.
"""

import datetime as dt
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateways.fhir.ehr_reads import EhrReads, Loan, Read
from gateways.records.briefs import Brief
from gateways.records.facts import Facts
from gateways.records.patients import Patients
from gateways.records.results import PatientView, Results
from gateways.registry.models import Models
from gateways.store.database import Database
from schemas.assessment import Assessment
from schemas.config import MergePolicy
from schemas.errors import ModelRefused, Rejected
from schemas.events import IncomingEvent
from schemas.fhir.facts import patient_facts
from schemas.measurement import Measurement
from services.discovery import query
from services.kickoff import Kickoff
from services.news import brings_news
from services.orders import Orders
from services.prefetch import FACT_TYPES, Gathered, document, events_in, gather, lacking
from vbq.assess import assess
from vbq.risk.signature import LoadedModel

FACT_KEYS: Final = ("patient", "dxa", "labs", "conditions")
# Without these a first answer cannot be; the others only make it better.
NEEDED: Final = ("patient", "dxa")
TREATMENT: Final = "treatment"
REMEMBERED: Final = 512
REMEMBERED_SECONDS: Final = 5.0  # a stored fact may change meanwhile, before the workers have made of it what follows
_Key = tuple[str, str, str, tuple[tuple[str, str, str], ...]]
_IN_FORCE: Final = (None, "active")


@dataclass(frozen=True)
class Call:
    """What a call said: whose chart, from where, and with which data. `loan` is None where nothing may be fetched."""

    patient: str
    patient_id: str
    source: str
    base: str | None
    several: bool
    prefetch: Mapping[str, Any]
    loan: Loan | None
    client: str = ""


@dataclass(frozen=True)
class Found:
    """What to show; `first` where it was computed here; `not_had` are prefetch keys that it lacks."""

    view: PatientView
    first: bool = False
    not_had: tuple[str, ...] = ()
    treatment: bool | None = None
    problems: tuple[tuple[str, str], ...] = ()


class Measured(NamedTuple):
    """A measurement and its study."""

    measurement: Measurement
    study: str | None


class _Said(NamedTuple):
    assessment: Assessment | None
    until: float


class _Memory:
    """What was computed lately: an EHR asks several times while a chart is open. Safe to share between threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._said: OrderedDict[_Key, _Said] = OrderedDict()

    def get(self, key: _Key, *, now: float) -> _Said | None:
        with self._guard:
            found = self._said.get(key)
            return found if found is not None and now < found.until else None

    def put(self, key: _Key, assessment: Assessment | None, *, now: float) -> None:
        with self._guard:
            self._said[key] = _Said(assessment, now + REMEMBERED_SECONDS)
            self._said.move_to_end(key)
            if len(self._said) > REMEMBERED:
                self._said.popitem(last=False)


class FirstAnswers:
    """Looks at what came with a call and computes where that says more than the store. Safe to share."""

    def __init__(
        self,
        *,
        database: Database,
        results: Results,
        models: Models,
        kickoff: Kickoff | None,
        reads: EhrReads,
        orders: Orders,
        merge: MergePolicy,
        fetch_seconds: float,
        software: str,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """`kickoff`: None where what was prefetched is not to be kept."""
        self._database = database
        self._results = results
        self._facts = Facts(database)
        self._models = models
        self._kickoff = kickoff
        self._reads = reads
        self._orders = orders
        self._merge = merge
        self._fetch_seconds = fetch_seconds
        self._software = software
        self._now = now
        self._made = _Memory()
        self._patients = Patients(database)

    def look(self, view: PatientView, call: Call, *, wants_treatment: bool) -> Found:
        """What to show for `view`, given all that `call` brings. Of a stored result its brief is enough until it turns
        out that there is something to compute.
        """
        stored = view.brief
        measured = self._latest(view, call.patient) if stored is None else None
        may_compute = measured is not None or (stored is not None and _may_be_scored(stored))
        open_ = may_compute and (stored is None or stored.state == "incomplete")
        wants_treatment = wants_treatment and (open_ or (stored is not None and _high(stored)))
        if not may_compute and not wants_treatment:
            return Found(view)
        keys = (*(FACT_KEYS if may_compute else ()), *((TREATMENT,) if wants_treatment else ()))
        fetched = self._fetch(call, [*(FACT_KEYS if open_ else ()), *((TREATMENT,) if wants_treatment else ())])
        gathered = gather(call.prefetch, keys, fetched)
        first = self._first(view, measured, gathered, call) if may_compute else None
        shown = view.showing(first) if first is not None else view
        lacks = open_ and (shown.brief is None or shown.brief.risk is None)
        return Found(
            shown,
            first=first is not None,
            not_had=tuple(key for key in NEEDED if lacks and key in gathered.problems),
            treatment=self._treated(gathered, call) if wants_treatment else None,
            problems=tuple(gathered.problems.items()) if fetched else (),
        )

    def _latest(self, view: PatientView, patient: str) -> Measured | None:
        """The measurement that an assessment could rest on where none was made yet: the latest one."""
        if not view.known:
            return None
        with self._database.read() as connection:
            found = self._results.measurements(connection, patient)
        usable = {name: row for name, row in found.items() if row.status == "measured" and row.vbq is not None}
        if not usable:
            return None
        subject, latest = max(usable.items(), key=lambda row: row[1].acquisition.study_date or "")
        return Measured(latest, subject.partition("/")[2])

    def _fetch(self, call: Call, keys: Iterable[str]) -> dict[str, Read]:
        wanted = lacking(call.prefetch, keys)
        if call.loan is None or not wanted:
            return {}
        queries = {key: query(key, call.patient_id) for key in wanted}
        return self._reads.fetch(call.loan, queries, seconds=self._fetch_seconds)

    def _first(self, view: PatientView, measured: Measured | None, gathered: Gathered, call: Call) -> Assessment | None:
        """The assessment of stored and brought facts, where it says more or other than the stored one."""
        stored = view.brief
        rows = [row for key in FACT_KEYS for row in gathered.resources.get(key, ())]
        if stored is not None and not brings_news(stored, rows):
            return None
        whole = view.assessment
        if whole is not None and whole.measurement is not None:
            measured = Measured(whole.measurement, whole.study)
        try:
            model = self._models.active()
        except ModelRefused:
            return None  # the stored answer stands; the worker will say why it cannot do better
        if measured is None:
            return None
        events = events_in(
            rows,
            patient=call.patient,
            patient_id=call.patient_id,
            source=call.source,
            base=call.base,
            several=call.several,
        )
        key = (
            call.patient,
            whole.key if whole is not None else _mark(measured),
            model.digest,
            tuple(sorted((row.resource_type, row.resource_id, row.version) for row in events)),
        )
        known = self._made.get(key, now=time.monotonic())
        if known is not None:
            return known.assessment
        made = self._assessed(whole, measured, events, call.patient, model)
        if made is not None and self._kickoff is not None:
            self._kickoff.offer(events)
        self._made.put(key, made, now=time.monotonic())
        return made

    def _assessed(
        self,
        stored: Assessment | None,
        measured: Measured,
        events: list[IncomingEvent],
        patient: str,
        model: LoadedModel,
    ) -> Assessment | None:
        """What the workers would say. None where that is what is stored, or where it is better left to them: a person
        with several records, a record that was replaced, deleted or is not in use, a study that was taken back.
        """
        with self._database.read() as connection:
            circle = self._patients.circle(connection, patient)
            rows = self._facts.of_patient(connection, patient)
        if len(circle.keys) > 1 or any(row.resource_type == "Patient" and row.deleted for row in rows):
            return None
        if any(row.reference == measured.study and (row.deleted or row.interest != "study") for row in rows):
            return None
        known = {
            row.reference: json.loads(row.body) for row in rows if row.resource_type in FACT_TYPES and not row.deleted
        }
        known |= {f"{row.resource_type}/{row.resource_id}": document(row) for row in events}
        if any(row.get("resourceType") == "Patient" and _is_not_in_use(row) for row in known.values()):
            return None
        try:
            made = assess(
                patient=patient,
                study=measured.study,
                facts=patient_facts(known.values()),
                measurement=measured.measurement,
                model=model.artefact,
                digest=model.digest,
                policy=self._merge,
                as_of=self._now(),
                previous=stored.id if stored is not None else None,
                software=self._software,
            )
        except (ModelRefused, Rejected):
            return None
        if stored is not None and (stored.state, stored.risk) == (made.state, made.risk):
            return None
        if made.state == "complete" or (made.state == "outside_population" and stored is not None):
            return made
        takes_back = stored is not None and made.state == "incomplete" and _names_used(stored, events)
        return made if takes_back else None

    def _treated(self, gathered: Gathered, call: Call) -> bool | None:
        """Whether the medication list has an osteoporosis drug; None where the list was not had."""
        if TREATMENT in gathered.problems:
            return None
        rows = gathered.resources.get(TREATMENT, ())
        return any(
            _is_hers(row, call.patient_id) and row.get("status") in _IN_FORCE and self._orders.is_treatment(row)
            for row in rows
        )


def _may_be_scored(stored: Brief) -> bool:
    """Whether a risk could be computed from the measurement of a stored assessment."""
    measured = stored.measurement
    return stored.state in ("incomplete", "complete") and measured is not None and measured.vbq is not None


def _mark(measured: Measured) -> str:
    """Tells measurements apart."""
    found = measured.measurement
    return f"{measured.study} {found.algorithm} {found.vbq} {found.slice.sop_instance_uid if found.slice else ''}"


def _names_used(stored: Assessment, events: Iterable[IncomingEvent]) -> bool:
    """Whether one of the resources is a value that the stored assessment computed with: then it was taken back."""
    used = {row.source.partition("#")[0].partition("/_history/")[0] for row in stored.inputs}
    return any(f"{row.resource_type}/{row.resource_id}" in used for row in events)


def _is_not_in_use(person: Mapping[str, Any]) -> bool:
    """A Patient that is inactive, or replaced by another record."""
    links = person.get("link")
    kinds = [row.get("type") for row in links if isinstance(row, dict)] if isinstance(links, list) else []
    return person.get("active") is False or "replaced-by" in kinds


def _high(assessment: Brief) -> bool:
    return assessment.risk is not None and assessment.risk.risk_class == "high"


def _is_hers(resource: Mapping[str, Any], patient_id: str) -> bool:
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return reference is None or str(reference).endswith(f"Patient/{patient_id}")
