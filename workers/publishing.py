"""The EHR hears of it: everything of a patient that it does not have yet, in one transaction."""

from gateways.ehr import Ehr
from gateways.jobs import Job
from schemas.fhir.full import checked
from schemas.fhir.results import as_transaction, resources_of
from workers.bench import Bench


def publish_patient(bench: Bench, job: Job) -> None:
    """Send what is unsent of the job's patient. Sent twice (after a timeout, say) it changes nothing at the EHR."""
    config = bench.config.ehr
    with bench.database.read() as connection:
        unsent = bench.results.unsent(connection, job.patient)
    if config is not None and unsent:
        resources = [row for found, by in unsent for row in resources_of(found, superseded_by=by)]
        Ehr(config).send(checked(as_transaction(resources, ehr_base=config.base_url)))
    with bench.database.write() as connection:
        bench.jobs.hold(connection, job)
        bench.results.mark_sent(connection, unsent)
        bench.jobs.finish(connection, job)
