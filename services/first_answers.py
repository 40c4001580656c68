"""A first answer when the stored one lacks what this very call brings: scored on the spot, marked, and passed on.

stored VBQ + stored facts + prefetched or fetched facts --vbq.assess--> an assessment that is shown and not stored

What was prefetched then goes into the inbox (services/kickoff.py), so that the workers make the full assessment of the
same facts. Nothing is scored that the workers would not score: the same function decides.
"""

import datetime as dt
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateways.database import Database
from gateways.ehr_reads import EhrReads, Loan, Read
from gateways.facts import Facts
from gateways.models import Models
from gateways.results import PatientView, Results
from schemas.assessment import Assessment
from schemas.codes import lookup
from schemas.config import MergePolicy
from schemas.errors import ModelRefused, Rejected
from schemas.events import IncomingEvent
from schemas.fhir.facts import patient_facts
from schemas.measurement import Measurement
from services.discovery import query
from services.kickoff import Kickoff
from services.orders import Orders
from services.prefetch import FACT_TYPES, Gathered, document, events_in, gather, lacking
from vbq.assess import assess

FACT_KEYS: Final = ("patient", "dxa", "labs", "conditions")
# Without these a first answer cannot be; the others only make it better.
NEEDED: Final = ("patient", "dxa")
TREATMENT: Final = "treatment"
REMEMBERED: Final = 512
_BRINGS: Final[Mapping[str, frozenset[str]]] = {
    "t_score": frozenset({"tscore_spine"}),
    "weight_kg": frozenset({"weight"}),
    "creatinine_umol_l": frozenset({"creatinine"}),
    "crcl_ml_min": frozenset({"crcl_measured", "crcl_cg", "creatinine", "weight"}),
    "alp_u_l": frozenset({"alp"}),
}
_Key = tuple[str, bool, tuple[tuple[str, str, str], ...]]


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


@dataclass(frozen=True)
class Found:
    """The assessment to show; `first` where it was computed here; `not_had` are prefetch keys that it lacks."""

    assessment: Assessment | None
    first: bool = False
    not_had: tuple[str, ...] = ()
    treatment: bool | None = None
    problems: tuple[tuple[str, str], ...] = ()


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
        self._guard = threading.Lock()
        self._made: OrderedDict[_Key, Assessment | None] = OrderedDict()

    def look(self, view: PatientView, call: Call, *, wants_treatment: bool) -> Found:
        """What to show for `view`, given all that `call` brings."""
        stored = view.assessment
        measurement, study = self._measured(view, call.patient)
        may_compute = measurement is not None and measurement.vbq is not None
        open_ = may_compute and (stored is None or stored.state == "incomplete")
        wants_treatment = wants_treatment and (open_ or (stored is not None and _high(stored)))
        if not may_compute and not wants_treatment:
            return Found(stored)
        keys = (*(FACT_KEYS if may_compute else ()), *((TREATMENT,) if wants_treatment else ()))
        fetched = self._fetch(call, [*(FACT_KEYS if open_ else ()), *((TREATMENT,) if wants_treatment else ())])
        gathered = gather(call.prefetch, keys, fetched)
        first = self._first(stored, measurement, study, gathered, call) if measurement is not None else None
        shown = first or stored
        lacks = open_ and (shown is None or shown.risk is None)
        return Found(
            shown,
            first=first is not None,
            not_had=tuple(key for key in NEEDED if lacks and key in gathered.problems),
            treatment=self._treated(gathered, call) if wants_treatment else None,
            problems=tuple(gathered.problems.items()) if fetched else (),
        )

    def _measured(self, view: PatientView, patient: str) -> tuple[Measurement | None, str | None]:
        """The stored measurement that an assessment could rest on, and its study."""
        stored = view.assessment
        if stored is not None:
            return (stored.measurement, stored.study) if stored.state in ("incomplete", "complete") else (None, None)
        if not view.known:
            return None, None
        with self._database.read() as connection:
            found = self._results.measurements(connection, patient)
        usable = {name: row for name, row in found.items() if row.status == "measured" and row.vbq is not None}
        if not usable:
            return None, None
        subject, latest = max(usable.items(), key=lambda row: row[1].acquisition.study_date or "")
        return latest, subject.partition("/")[2]

    def _fetch(self, call: Call, keys: Iterable[str]) -> dict[str, Read]:
        wanted = lacking(call.prefetch, keys)
        if call.loan is None or not wanted:
            return {}
        queries = {key: query(key, call.patient_id) for key in wanted}
        return self._reads.fetch(call.loan, queries, seconds=self._fetch_seconds)

    def _first(
        self,
        stored: Assessment | None,
        measurement: Measurement,
        study: str | None,
        gathered: Gathered,
        call: Call,
    ) -> Assessment | None:
        """The assessment of stored and brought facts, where it says more or other than the stored one."""
        rows = [row for key in FACT_KEYS for row in gathered.resources.get(key, ())]
        if stored is not None and not brings_news(stored, rows):
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
            stored.id if stored is not None else call.patient,
            stored is None,
            tuple(sorted((row.resource_type, row.resource_id, row.version) for row in events)),
        )
        with self._guard:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = self._assessed(stored, measurement, study, events, call.patient)
        if made is not None and self._kickoff is not None:
            self._kickoff.offer(events)
        with self._guard:
            self._made[key] = made
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return made

    def _assessed(
        self,
        stored: Assessment | None,
        measurement: Measurement,
        study: str | None,
        events: list[IncomingEvent],
        patient: str,
    ) -> Assessment | None:
        with self._database.read() as connection:
            rows = self._facts.of_patient(connection, patient)
        known = {
            row.reference: json.loads(row.body) for row in rows if row.resource_type in FACT_TYPES and not row.deleted
        }
        if any(row.resource_type == "Patient" and row.deleted for row in rows):
            return None
        known |= {f"{row.resource_type}/{row.resource_id}": document(row) for row in events}
        try:
            model = self._models.active()
            made = assess(
                patient=patient,
                study=study,
                facts=patient_facts(known.values()),
                measurement=measurement,
                model=model.artefact,
                digest=model.digest,
                policy=self._merge,
                as_of=self._now(),
                previous=stored.id if stored is not None else None,
                software=self._software,
            )
        except (ModelRefused, Rejected):
            return None  # the stored answer stands; the worker will say why it cannot do better
        if made.state != "complete" and not (made.state == "outside_population" and stored is not None):
            return None
        same = stored is not None and (stored.state, stored.risk) == (made.state, made.risk)
        return None if same else made

    def _treated(self, gathered: Gathered, call: Call) -> bool | None:
        """Whether the medication list has an osteoporosis drug; None where the list was not had."""
        if TREATMENT in gathered.problems:
            return None
        rows = gathered.resources.get(TREATMENT, ())
        return any(_is_hers(row, call.patient_id) and self._orders.is_treatment(row) for row in rows)


def brings_news(stored: Assessment, resources: Iterable[Mapping[str, Any]]) -> bool:
    """Whether `resources` hold anything that the stored assessment lacks, or a newer value of what its model uses."""
    missing = set(stored.missing)
    seen: set[str] | None = None
    unseen = []
    for row in resources:
        kind = row.get("resourceType")
        if kind == "Patient" and not missing.isdisjoint(("sex", "age_years", "menopause")):
            return True
        if kind == "Condition" and "menopause" in missing:
            return True
        if kind == "Observation":
            if seen is None:
                sources = [*(known.source for known in stored.inputs), *(known.source for known in stored.ignored)]
                seen = {source.partition("#")[0] for source in sources}
            if _reference(row) not in seen:
                unseen.append(row)
    if not unseen:  # the usual case: the events were here before the call
        return False
    names = {*missing, *(stored.model.inputs or _BRINGS)}  # an old record does not say what its model uses
    concepts = frozenset[str]().union(*(_BRINGS.get(name, frozenset()) for name in names))
    return any(not concepts.isdisjoint(_concepts(row)) for row in unseen)


def _reference(observation: Mapping[str, Any]) -> str:
    meta = observation.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    plain = f"Observation/{observation.get('id')}"
    return f"{plain}/_history/{version}" if version else plain


def _concepts(observation: Mapping[str, Any]) -> set[str]:
    components = observation.get("component")
    parts = [observation, *(components if isinstance(components, list) else ())]
    found = set()
    for part in parts:
        code = part.get("code") if isinstance(part, dict) else None
        codings = code.get("coding") if isinstance(code, dict) else None
        for coding in codings if isinstance(codings, list) else ():
            if isinstance(coding, dict) and isinstance(coding.get("system"), str):
                known = lookup(coding["system"], str(coding.get("code")))
                found |= {known.concept} if known is not None else set()
    return found


def _high(assessment: Assessment) -> bool:
    return assessment.risk is not None and assessment.risk.risk_class == "high"


def _is_hers(resource: Mapping[str, Any], patient_id: str) -> bool:
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return reference is None or str(reference).endswith(f"Patient/{patient_id}")
