"""A study becomes a measurement: fetch, check whose it is, measure, write down."""

import json
import logging
from pathlib import Path
from typing import Any

from gateways.dicom.study import DicomLimits, StudyFiles, limits_of, open_study
from gateways.pacs.endpoints import study_uid_of
from gateways.pacs.location import locate
from gateways.queue.jobs import Job
from gateways.records.facts import StoredResource
from gateways.records.pictures import KeptPicture, Pictures
from gateways.rois import regions_beside
from schemas.errors import NotMeasurable, Rejected, Unavailable
from schemas.measurement import Measurement, Reason
from vbq.clinical.relevance import endpoint_ids
from vbq.imaging.identity import StudyIdentity, check_identity
from vbq.imaging.measure import ALGORITHM, measure
from vbq.imaging.plain_picture import plain_png
from workers import persons
from workers.bench import Bench
from workers.scratch import scratch

log = logging.getLogger(__name__)


def measure_study(bench: Bench, job: Job) -> None:
    """Measure the study that `job` names, keep the outcome, and have its patient assessed.

    A study that must not be measured (another patient's, refused files or addresses) gives an outcome too, so that the
    assessment says why there is no number; its job becomes a dead letter.

    A reader's regions are measured and assessed first; the automatic measurement to compare them with is half a second
    of work that nobody waits for, so it is done by a second run of the job, when nothing else is to be done.
    """
    study, endpoints, patient = _facts(bench, job)
    if study is None:  # deleted or withdrawn meanwhile: the assessment sees to that
        with bench.database.write() as connection:
            bench.jobs.finish(connection, job)
        return
    if patient is None:
        raise Unavailable("the study waits for its Patient resource, to compare identities", code="patient-missing")
    resource = json.loads(study.body)
    refused: Rejected | None = None
    picture: KeptPicture | None = None
    identity: StudyIdentity | None = None
    before = _before(bench, job)
    try:
        found, picture, identity = measured(bench, resource, endpoints, patient, before=before)
    except Rejected as error:
        refused = None if isinstance(error, NotMeasurable) else error
        reasons = error.reasons if isinstance(error, NotMeasurable) else [(error.reason_code, error.detail)]
        found = _without_number(resource, [Reason(code=code, text=text) for code, text in reasons])
    again = found.method == "reader" and found.automatic is None
    _write(bench, job, found, refused, picture=picture, identity=identity, again=again)


def measured(
    bench: Bench,
    study: dict[str, Any],
    endpoints: list[dict[str, Any]],
    patient: dict[str, Any],
    *,
    before: Measurement | None = None,
) -> tuple[Measurement, KeptPicture | None, StudyIdentity]:
    """The measurement of an ImagingStudy, its slice for the review page, and whose images its headers say they are.

    A reader's regions are compared with automatic ones only where `before`, the run before, had the same of the reader.
    Raises Rejected or Unavailable where it cannot be had.
    """
    limits = limits_of(bench.settings)
    with scratch(bench.settings.data_dir) as fetched:
        place = _place(study, endpoints, bench, fetched, limits)
        files = open_study(place, study_uid=study_uid_of(study), limits=limits, reader=bench.decoder)
        flags = check_identity(files.identity, patient)
        drawn = regions_beside(place)
        rois, source = drawn if drawn is not None else (None, None)
        told: dict[str, Any] = {"regions_source": source, "flags": flags}
        if rois is None or rois.unconfirmed:  # without the network there is no result, or none that counts
            found = measure(files.study, files.load_pixels, rois, network=bench.network, **told)
        else:
            found = measure(files.study, files.load_pixels, rois, **told)
            if _compare_now(before, found):
                found = measure(files.study, files.load_pixels, rois, network=bench.network, **told)
        picture = _picture(found, files) if bench.config.review.keep_pictures else None
        return found, picture, files.identity


def _before(bench: Bench, job: Job) -> Measurement | None:
    """What the last run of this job found."""
    with bench.database.read() as connection:
        return bench.results.measurements(connection, job.patient).get(job.subject)


def _compare_now(before: Measurement | None, now: Measurement) -> bool:
    """Whether this run is to compare: the last one had no time for it, or had the same of the reader. Pure.

    After a run without a comparison there is always one with it, whatever changed: no study is measured for ever.
    """
    if before is None or not before.method == now.method == "reader":
        return False
    return before.automatic is None or all(
        getattr(before, name) == getattr(now, name) for name in ("vbq", "series_uid", "levels", "csf")
    )


def _picture(found: Measurement, files: StudyFiles) -> KeptPicture | None:
    """The measured slice, as a person will want to see it; None where there is none."""
    if found.slice is None or found.series_uid is None:
        return None
    image = files.load_slice(found.series_uid, found.slice.sop_instance_uid)
    rows, columns = image.pixels.shape
    return KeptPicture(plain_png(image), rows, columns, image.pixel_spacing_mm)


def _place(
    study: dict[str, Any], endpoints: list[dict[str, Any]], bench: Bench, fetched: Path, limits: DicomLimits
) -> Path:
    try:
        return locate(study, endpoints, bench.config, scratch=fetched, limits=limits, cache=bench.cache)
    except Rejected as error:
        if error.reason_code != "endpoint-unknown":
            raise
        # Senders push a study and its Endpoint in any order: it may be on its way.
        raise Unavailable("the study waits for its Endpoint resource", code="endpoint-unknown") from error


def _facts(bench: Bench, job: Job) -> tuple[StoredResource | None, list[dict[str, Any]], dict[str, Any] | None]:
    """The study (None where it is gone or no longer of interest), its Endpoints, its Patient (None: not there yet)."""
    source, resource_type, resource_id = job.subject.split("/", 2)
    with bench.database.read() as connection:
        study = bench.facts.one(connection, source, resource_type, resource_id)
        if study is None or study.interest != "study" or study.patient is None:
            return None, [], None
        person = persons.identity_person(bench.patients.circle(connection, study.patient), study.patient)
        endpoints = bench.facts.endpoints(connection, source, endpoint_ids(json.loads(study.body)))
    bodies = [json.loads(row.body) for row in endpoints]
    return study, bodies, dict(person) if person is not None else None


def _write(
    bench: Bench,
    job: Job,
    found: Measurement,
    refused: Rejected | None,
    *,
    picture: KeptPicture | None,
    identity: StudyIdentity | None,
    again: bool,
) -> None:
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        bench.results.store_measurement(connection, job.subject, job.run, job.patient, found)
        if picture is not None and found.slice is not None:
            Pictures(bench.database).store(connection, job.patient, found.slice.sop_instance_uid, picture)
        if identity is not None:
            bench.patients.keep_identity(connection, job.subject, job.patient, job.run, identity.as_document())
        # Where more about the patient waits to be read, one assessment with all of it is better than two.
        quiet = bench.settings.debounce_seconds if bench.inbox.waiting(connection, job.patient) else 0.0
        wakes = persons.ask(bench, connection, [job.patient], quiet_seconds=quiet)
        if refused is not None:
            bench.jobs.bury(connection, job, code=refused.reason_code, text=refused.detail)
        else:
            if again:
                bench.jobs.again_when_idle(connection, job)
            bench.jobs.finish(connection, job)
    if refused is not None:
        log.warning("study refused", extra={"job": job.claim.id, "code": refused.reason_code})
    for assess in () if quiet else wakes:
        bench.wake("assess", assess)


def _without_number(study: dict[str, Any], reasons: list[Reason]) -> Measurement:
    return Measurement(
        status="not_measurable", algorithm=ALGORITHM, study_uid=study_uid_of(study) or "unknown", reasons=reasons
    )
