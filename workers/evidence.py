"""The archive gets what each measurement rests on: a structured report and a picture."""

import json
import tempfile
from pathlib import Path

from gateways.dicom.study import limits_of, open_study
from gateways.pacs.location import locate
from gateways.pacs.stow import has_instance, store
from schemas.config import Config, Pacs
from schemas.measurement import Measurement
from vbq.clinical.relevance import endpoint_ids
from workers.bench import Bench


def evidence_archives(config: Config) -> list[Pacs]:
    """The archives that want evidence."""
    return [pacs for pacs in config.pacs if pacs.store_evidence]


def send_evidence(bench: Bench, patient: str) -> None:
    """Send the evidence of the patient's latest measurements to the archives that lack it.

    The archive itself says what it has, so a repeat sends nothing. Raises Unavailable, or Rejected where it refuses.
    """
    archives = evidence_archives(bench.config)
    if not archives:
        return
    from gateways.dicom.evidence import report_uid  # 0.2 s of each worker's start, for few of them

    with bench.database.read() as connection:
        found = bench.results.measurements(connection, patient)
    for subject, result in found.items():
        if result.slice is None or not (result.levels or result.csf):
            continue
        lacking = [pacs for pacs in archives if not has_instance(pacs, result.study_uid, report_uid(result))]
        if lacking:
            _send(bench, subject, result, lacking)


def _send(bench: Bench, subject: str, result: Measurement, archives: list[Pacs]) -> None:
    from gateways.dicom.evidence import evidence_of

    source, resource_type, resource_id = subject.split("/", 2)
    with bench.database.read() as connection:
        study = bench.facts.one(connection, source, resource_type, resource_id)
        if study is None or study.interest != "study" or study.deleted:
            return  # taken back meanwhile
        resource = json.loads(study.body)
        endpoints = bench.facts.endpoints(connection, source, endpoint_ids(resource))
    limits = limits_of(bench.settings)
    bodies = [json.loads(row.body) for row in endpoints]
    with tempfile.TemporaryDirectory(prefix="vbq-evidence-") as scratch:
        place = locate(resource, bodies, bench.config, scratch=Path(scratch), limits=limits, cache=bench.cache)
        files = open_study(place, study_uid=result.study_uid, limits=limits, reader=bench.decoder)
        made = evidence_of(result, files, software=bench.software, now=bench.now())
    for pacs in archives:
        store(pacs, result.study_uid, [made.report, made.capture])
