"""The EHR hears of it: everything of a patient that it does not have yet, in one transaction. Archives get evidence."""

from collections.abc import Sequence
from typing import Any

from gateways.fhir.ehr import Ehr
from gateways.queue.jobs import Job
from schemas.assessment import Assessment
from schemas.audit import AuditEntry
from schemas.config import Ehr as EhrConfig
from schemas.fhir.results import resources_of
from workers.bench import Bench
from workers.evidence import evidence_archives, send_evidence


def publish_patient(bench: Bench, job: Job) -> None:
    """Send what is unsent of the job's patient. Sent twice (after a timeout, say) it changes nothing at the EHR."""
    config = bench.config.ehr
    with bench.database.read() as connection:
        unsent = bench.results.unsent(connection, job.patient)
    if config is not None and unsent:
        _send(bench, config, job, [row for found, by in unsent for row in resources_of(found, superseded_by=by)])
    told = sent(unsent, config) if config is not None else []
    if evidence_archives(bench.config):
        with bench.database.write() as connection:  # the EHR has its part, whatever becomes of the archive's
            bench.jobs.hold(connection, job)
            bench.results.mark_sent(connection, unsent)
            bench.sends.end(connection, job.patient)
            bench.audit.append(connection, told)
        told = []
        send_evidence(bench, job.patient)
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        bench.results.mark_sent(connection, unsent)
        bench.sends.end(connection, job.patient)
        bench.jobs.finish(connection, job)
        bench.audit.append(connection, told)


def sent(assessments: Sequence[tuple[Assessment, str | None]], config: EhrConfig) -> list[AuditEntry]:
    """What the audit log says of assessments that the EHR now has. Pure."""
    return [
        AuditEntry(
            actor_kind="system",
            actor="worker",
            action="result-sent",
            patient=found.patient,
            entity=f"RiskAssessment/{found.id}",
            detail={"to": config.base_url, "superseded": superseded_by is not None},
        )
        for found, superseded_by in assessments
    ]


def _send(bench: Bench, config: EhrConfig, job: Job, resources: list[dict[str, Any]]) -> None:
    """Under the job's claim, which is our lock: one worker publishes for a patient. That the send begins is on disk
    before it does, so that whoever comes after a crash or a timeout looks first what the EHR has.
    """
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        unsure = bench.sends.begin(connection, job.patient)
    Ehr(config, bench.servers.ehr()).deliver(resources, unsure=unsure)
