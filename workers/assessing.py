"""Facts and the latest measurement become the assessment that counts."""

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateways.queue.jobs import Job
from gateways.records.facts import StoredResource
from gateways.registry.shadows import ShadowScore, beside
from schemas.assessment import Assessment
from schemas.audit import Action, AuditEntry
from schemas.clinical import ObservedQuantity, PatientFacts, Person, StatedCondition
from schemas.errors import ModelRefused
from schemas.fhir.facts import patient_facts
from schemas.fhir.full import checked
from schemas.fhir.patient_ties import Identity
from schemas.fhir.reference import base_of, qualified
from schemas.fhir.results import resources_of
from schemas.measurement import Measurement, Reason
from vbq.assess import assess, recalled, withdraw
from vbq.clinical.persons import Standing
from vbq.imaging.identity import contradiction
from vbq.risk.signature import LoadedModel
from workers import persons
from workers.bench import Bench
from workers.evidence import evidence_archives

log = logging.getLogger(__name__)
STATED = ("Patient", "Observation", "Condition")
Stated = TypeVar("Stated", ObservedQuantity, StatedCondition)


@dataclass(frozen=True)
class Known:
    """What the database says of a patient at one moment. `studies` are those that count, deleted ones left out."""

    rows: Sequence[StoredResource]
    studies: Sequence[StoredResource]
    measurements: Mapping[str, Measurement]
    current: Assessment | None
    measuring: bool
    patient: str
    standing: Standing
    person: Identity | None
    contradicted: Mapping[str, Reason] = field(default_factory=dict)
    """Studies whose headers are of somebody else than the Patient now says, by subject."""
    was_measured: bool = False
    """A study that was taken back had been measured."""


def assess_patient(bench: Bench, job: Job) -> None:
    """Bring the assessment of the job's patient up to date. Nothing is written where nothing changed."""
    known = _known(bench, job.patient)
    found = decide(bench, job.patient, known)
    pair = shadow_score(bench, job.patient, known, found) if found is not None else None
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        stored = found if found is not None and (known.current is None or found.id != known.current.id) else None
        if stored is not None:
            old = known.current
            rewritten = resources_of(old, superseded_by=stored.id) if old is not None else []
            bench.results.store(
                connection,
                stored,
                [checked(resource) for resource in resources_of(stored)],
                rewritten=[checked(row) for row in rewritten if row["resourceType"] == "RiskAssessment"],
                send=bench.config.ehr is not None,
            )
            if bench.config.ehr is not None or evidence_archives(bench.config):
                bench.jobs.bump(connection, "publish", job.patient, job.patient)
        if pair is not None:
            bench.shadows.store(connection, pair)
        bench.jobs.finish(connection, job)
        if stored is not None:  # last, since nobody else can append until this is committed
            bench.audit.append(connection, told(stored, known.current))


def told(new: Assessment, old: Assessment | None) -> list[AuditEntry]:
    """What the audit log says of `new` having taken the place of `old`. Pure."""
    detail: dict[str, str | int | bool | None] = {"state": new.state, "model": new.model.digest[:12]}
    if new.reasons:
        detail["reason"] = new.reasons[0].code
    action: Action = "result-withdrawn" if new.state == "withdrawn" else "result-created"
    made = AuditEntry(
        actor_kind="system",
        actor="worker",
        action=action,
        patient=new.patient,
        entity=f"RiskAssessment/{new.id}",
        detail=detail,
    )
    if old is None or old.id == new.id:
        return [made]
    entity = f"RiskAssessment/{old.id}"
    gone = made.but(action="result-superseded", entity=entity, detail={"state": old.state})
    return [made, gone]


def shadow_score(bench: Bench, patient: str, known: Known, found: Assessment) -> ShadowScore | None:
    """What the shadow model says beside `found`, if there is one that has not yet. It never stops the active model."""
    if found.state == "withdrawn":
        return None
    try:
        shadow = bench.models.shadow()
    except ModelRefused as error:
        log.warning("the shadow model is not asked", extra={"code": error.reason_code})
        return None
    if shadow is None:
        return None
    with bench.database.read() as connection:
        if bench.shadows.has(connection, found.id, shadow.digest):
            return None
    try:
        return beside(found, opinion(bench, patient, known, shadow, found.created))
    except ModelRefused as error:
        return ShadowScore(
            assessment=found.id,
            digest=shadow.digest,
            active=found.model.digest,
            state="refused",
            active_state=found.state,
            active_risk=found.risk.risk if found.risk else None,
            active_class=found.risk.risk_class if found.risk else None,
            reason=error.reason_code,
        )


def decide(bench: Bench, patient: str, known: Known) -> Assessment | None:
    """The assessment that should count now; None where there is nothing to say (yet).

    It follows from what is known now, not from the way there: events in any order end in the same.
    """
    now = bench.now()
    current = known.current
    if (gone := taken_back(known)) is not None:
        return _withdrawn(bench, current, gone, known.standing) if current is not None else None
    if not alive(known):
        return None
    if known.measuring and not known.measurements:
        return None  # the first measurement is on its way; the card says so meanwhile
    try:
        model = bench.models.active()
        return opinion(bench, patient, known, model, now)
    except ModelRefused:
        if current is None or current.model.digest not in bench.models.state().revoked:
            raise
        if current.risk is None and why(current) != "model-revoked":
            raise  # there is no number to take back
        return recalled(current, as_of=now, software=bench.software)


def why(assessment: Assessment) -> str | None:
    """The code of its first reason."""
    return assessment.reasons[0].code if assessment.reasons else None


def _withdrawn(bench: Bench, current: Assessment, reason: Reason, standing: Standing) -> Assessment:
    return withdraw(
        current,
        code=reason.code,
        text=reason.text,
        as_of=bench.now(),
        software=bench.software,
        replaced_by=standing.replaced_by,
    )


def opinion(bench: Bench, patient: str, known: Known, model: LoadedModel, now: dt.datetime) -> Assessment:
    """What `model` says of the patient."""
    study = chosen_study(known)
    return assess(
        patient=patient,
        study=_absolute(study, patient) if study is not None else None,
        facts=facts_of(known),
        measurement=known.measurements.get(study.subject) if study is not None else None,
        model=model.artefact,
        digest=model.digest,
        policy=bench.config.merge,
        as_of=now,
        previous=known.current.id if known.current is not None else None,
        software=bench.software,
    )


def taken_back(known: Known) -> Reason | None:
    """Why nothing can be said of this record any more, if so. Pure."""
    standing = known.standing
    if standing.replaced_by is not None:
        text = f"This record was replaced by {standing.replaced_by}; what is known of the patient counts there."
        return Reason(code="record-replaced", text=text)
    if standing.unclear:
        text = "This record was replaced, and its links name more than one record in its place; nothing of it is used."
        return Reason(code="record-replaced-unclear", text=text)
    if patient_deleted(known):
        return Reason(code="patient-deleted", text="The patient's record was deleted at its source.")
    if known.person is not None and not known.person.active:
        return Reason(code="record-inactive", text="The patient's record is marked as not in use (active is false).")
    if known.studies and not _trusted(known):
        return known.contradicted[known.studies[0].subject]
    if not known.studies and (known.was_measured or (known.current is not None and known.current.study is not None)):
        text = "The imaging study was deleted, cancelled, entered in error or found to be of somebody else."
        return Reason(code="study-withdrawn", text=text)
    if not alive(known):
        text = "Everything that it rested on was deleted, entered in error or found to be about somebody else."
        return Reason(code="inputs-withdrawn", text=text)
    return None


def alive(known: Known) -> bool:
    """Whether there is anything to assess: a study or a spine T-score that is not deleted. Pure."""
    return any(row.interest in ("study", "t-score") and not row.deleted for row in known.rows)


def patient_deleted(known: Known) -> bool:
    """Whether the sender deleted the Patient. Pure."""
    return any(row.resource_type == "Patient" and row.deleted and row.patient == known.patient for row in known.rows)


def _trusted(known: Known) -> list[StoredResource]:
    """The studies whose headers do not contradict the Patient."""
    return [row for row in known.studies if row.subject not in known.contradicted]


def chosen_study(known: Known) -> StoredResource | None:
    """The study that the assessment speaks of: the latest that was measured, else the latest. Pure."""
    trusted = _trusted(known)
    measured = [row for row in trusted if _status(known, row) == "measured"]
    return max(measured or trusted, key=lambda row: _when(known, row), default=None)


def _status(known: Known, study: StoredResource) -> str | None:
    found = known.measurements.get(study.subject)
    return found.status if found is not None else None


def _when(known: Known, study: StoredResource) -> tuple[str, int]:
    """When the images were taken: by the images themselves, else as the ImagingStudy says; then by arrival."""
    found = known.measurements.get(study.subject)
    stated = json.loads(study.body).get("started")
    taken = (found.acquisition.study_date if found is not None else None) or (stated or "")[:10]
    return taken, study.event


def facts_of(known: Known) -> PatientFacts:
    """The facts of all records of the person; demographics are those of the record that is assessed. Pure."""
    observations: list[ObservedQuantity] = []
    conditions: list[StatedCondition] = []
    person: Person | None = None
    for row in known.rows:
        if row.resource_type not in STATED or not row.body:
            continue
        own = row.patient == known.patient
        if row.resource_type == "Patient" and (row.deleted or not own):
            continue
        found = patient_facts([json.loads(row.body)])
        person = found.person or person
        where = None if own else base_of(row.patient or "")
        if row.deleted:  # said, so that the assessment tells what it no longer rests on
            observations += [one.but(status="deleted") for one in _placed(found.observations, where)]
            continue
        observations += _placed(found.observations, where)
        conditions += _placed(found.conditions, where)
    return PatientFacts(person=person, observations=observations, conditions=conditions)


def _placed(rows: Sequence[Stated], base: str | None) -> list[Stated]:
    """Rows of another server's record, with references that say so."""
    return [row.but(reference=qualified(row.reference, base)) for row in rows] if base else list(rows)


def _absolute(study: StoredResource, patient: str) -> str:
    """The study's reference, absolute where its patient's key is."""
    return qualified(study.reference, base_of(study.patient or patient))


def _known(bench: Bench, patient: str) -> Known:
    with bench.database.read() as connection:
        circle = bench.patients.circle(connection, patient)
        standing = circle.standing(patient)
        rows = [row for key in standing.members for row in bench.facts.of_patient(connection, key)]
        measurements: dict[str, Measurement] = {}
        for key in standing.members:
            measurements |= bench.results.measurements(connection, key)
        measuring = any(bench.jobs.open(connection, "measure", key) for key in standing.members)
        current = bench.results.latest(connection, patient)
        headers = bench.patients.identities(connection, standing.members)
    studies = [row for row in rows if row.interest == "study" and not row.deleted]
    subjects = {row.subject for row in studies}
    mine = {subject: found for subject, found in measurements.items() if subject in subjects}
    contradicted: dict[str, Reason] = {}
    for row in studies:
        person = persons.identity_person(circle, row.patient or patient)
        if row.subject in headers and person is not None:
            wrong = contradiction(headers[row.subject], person)
            contradicted |= {row.subject: wrong} if wrong is not None else {}
    return Known(
        rows,
        studies,
        mine,
        current,
        measuring,
        patient=patient,
        standing=standing,
        person=circle.identity(patient),
        contradicted=contradicted,
        was_measured=any(subject not in subjects for subject in measurements),
    )
