"""Facts and the latest measurement become the assessment that counts."""

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateways.facts import StoredResource
from gateways.jobs import Job
from gateways.shadows import ShadowScore, beside
from schemas.assessment import Assessment
from schemas.errors import ModelRefused
from schemas.fhir.facts import patient_facts
from schemas.fhir.full import checked
from schemas.fhir.reference import base_of, qualified
from schemas.fhir.results import resources_of
from schemas.measurement import Measurement
from vbq.assess import assess, withdraw
from vbq.risk.signature import LoadedModel
from workers.bench import Bench
from workers.evidence import evidence_archives

log = logging.getLogger(__name__)
STATED = ("Patient", "Observation", "Condition")


@dataclass(frozen=True)
class Known:
    """What the database says of a patient at one moment. `studies` are those that count, deleted ones left out."""

    rows: Sequence[StoredResource]
    studies: Sequence[StoredResource]
    measurements: Mapping[str, Measurement]
    current: Assessment | None
    measuring: bool


def assess_patient(bench: Bench, job: Job) -> None:
    """Bring the assessment of the job's patient up to date. Nothing is written where nothing changed."""
    known = _known(bench, job.patient)
    found = decide(bench, job.patient, known)
    pair = shadow_score(bench, job.patient, known, found) if found is not None else None
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        if found is not None and (known.current is None or found.id != known.current.id):
            old = known.current
            rewritten = resources_of(old, superseded_by=found.id) if old is not None else []
            bench.results.store(
                connection,
                found,
                [checked(resource) for resource in resources_of(found)],
                rewritten=[checked(row) for row in rewritten if row["resourceType"] == "RiskAssessment"],
                send=bench.config.ehr is not None,
            )
            if bench.config.ehr is not None or evidence_archives(bench.config):
                bench.jobs.bump(connection, "publish", job.patient, job.patient)
        if pair is not None:
            bench.shadows.store(connection, pair)
        bench.jobs.finish(connection, job)


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
    """The assessment that should count now; None where there is nothing to say (yet)."""
    now = bench.now()
    current = known.current
    if current is not None and (gone := withdrawal(known)) is not None:
        code, text = gone
        return withdraw(current, code=code, text=text, as_of=now, software=bench.software)
    if patient_deleted(known) or (current is not None and current.state == "withdrawn" and not known.studies):
        return None  # what was taken back stays so until it comes back
    if not any(row.interest in ("study", "t-score") and not row.deleted for row in known.rows):
        return None
    if known.measuring and not known.measurements:
        return None  # the first measurement is on its way; the card says so meanwhile
    return opinion(bench, patient, known, bench.models.active(), now)


def opinion(bench: Bench, patient: str, known: Known, model: LoadedModel, now: dt.datetime) -> Assessment:
    """What `model` says of the patient."""
    study = chosen_study(known)
    return assess(
        patient=patient,
        study=qualified(study.reference, base_of(patient)) if study is not None else None,
        facts=patient_facts(_stated(known.rows)),
        measurement=known.measurements.get(study.subject) if study is not None else None,
        model=model.artefact,
        digest=model.digest,
        policy=bench.config.merge,
        as_of=now,
        previous=known.current.id if known.current is not None else None,
        software=bench.software,
    )


def withdrawal(known: Known) -> tuple[str, str] | None:
    """Why the current assessment no longer stands, if so: its patient or its only study was taken back. Pure."""
    current = known.current
    if current is None or current.state == "withdrawn":
        return None
    if patient_deleted(known):
        return "patient-deleted", "The patient's record was deleted at its source."
    if current.study is not None and not known.studies:
        return "study-withdrawn", "The imaging study was deleted, cancelled or entered in error."
    return None


def patient_deleted(known: Known) -> bool:
    """Whether the sender deleted the Patient. Pure."""
    return any(row.resource_type == "Patient" and row.deleted for row in known.rows)


def chosen_study(known: Known) -> StoredResource | None:
    """The study that the assessment speaks of: the latest that was measured, else the latest. Pure."""
    measured = [row for row in known.studies if _status(known, row) == "measured"]
    return max(measured or known.studies, key=lambda row: _when(known, row), default=None)


def _status(known: Known, study: StoredResource) -> str | None:
    found = known.measurements.get(study.subject)
    return found.status if found is not None else None


def _when(known: Known, study: StoredResource) -> tuple[str, int]:
    """When the images were taken: by the images themselves, else as the ImagingStudy says; then by arrival."""
    found = known.measurements.get(study.subject)
    stated = json.loads(study.body).get("started")
    taken = (found.acquisition.study_date if found is not None else None) or (stated or "")[:10]
    return taken, study.event


def _stated(rows: Sequence[StoredResource]) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in rows if row.resource_type in STATED and not row.deleted]


def _known(bench: Bench, patient: str) -> Known:
    with bench.database.read() as connection:
        rows = bench.facts.of_patient(connection, patient)
        measurements = bench.results.measurements(connection, patient)
        measuring = bench.jobs.open(connection, "measure", patient)
        current = bench.results.latest(connection, patient)
    studies = [row for row in rows if row.interest == "study" and not row.deleted]
    subjects = {row.subject for row in studies}
    mine = {subject: found for subject, found in measurements.items() if subject in subjects}
    return Known(rows, studies, mine, current, measuring)
