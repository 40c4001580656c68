"""The EHR hears of it: everything of a patient that it does not have yet, in one transaction. Archives get evidence."""

from typing import Any

from gateways.ehr import Ehr
from gateways.jobs import Job
from schemas.config import Ehr as EhrConfig
from schemas.errors import Rejected
from schemas.fhir.full import checked
from schemas.fhir.results import as_transaction, resources_of
from workers.bench import Bench
from workers.evidence import evidence_archives, send_evidence


def publish_patient(bench: Bench, job: Job) -> None:
    """Send what is unsent of the job's patient. Sent twice (after a timeout, say) it changes nothing at the EHR."""
    config = bench.config.ehr
    with bench.database.read() as connection:
        unsent = bench.results.unsent(connection, job.patient)
    if config is not None and unsent:
        _send(config, [row for found, by in unsent for row in resources_of(found, superseded_by=by)])
    if evidence_archives(bench.config):
        with bench.database.write() as connection:  # the EHR has its part, whatever becomes of the archive's
            bench.jobs.hold(connection, job)
            bench.results.mark_sent(connection, unsent)
        send_evidence(bench, job.patient)
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        bench.results.mark_sent(connection, unsent)
        bench.jobs.finish(connection, job)


def _send(config: EhrConfig, resources: list[dict[str, Any]]) -> None:
    """With conditional creates; where the server cannot search by identifier, as PUTs under our own ids.

    Both may be repeated without harm: an id is a UUIDv5 of what the resource is about.
    """
    ehr = Ehr(config)
    try:
        ehr.send(checked(as_transaction(resources, ehr_base=config.base_url)))
    except Rejected as error:
        if error.reason_code != "ehr-not-supported":
            raise
        ehr.send(checked(as_transaction(resources, ehr_base=config.base_url, own_ids=True)))
