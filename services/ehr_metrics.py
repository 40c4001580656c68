"""What Prometheus scrapes of the FHIR servers: circuits and how old the last poll is. Labels are origins and names."""

import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateways.fhir.circuit import circuit_states
from gateways.fhir.watermarks import Watermarks
from gateways.store.database import Database
from schemas.errors import Unavailable

STATES = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


class EhrGauges(Collector):
    """Read when it is scraped; nothing is reported while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        circuit = GaugeMetricFamily("vbq_circuit_state", "0 closed, 1 half-open, 2 open", labels=["system"])
        failures = GaugeMetricFamily("vbq_circuit_failures", "calls that failed in a row", labels=["system"])
        names = ["source", "resource_type"]
        age = GaugeMetricFamily("vbq_reconcile_age_seconds", "since the last poll that ended well", labels=names)
        try:
            for one in circuit_states(self._database):
                circuit.add_metric([one.system], STATES[one.state])
                failures.add_metric([one.system], float(one.failures))
            for mark in Watermarks(self._database).all():
                if mark.polled_at is not None:
                    age.add_metric([mark.source, mark.resource_type], max(0.0, time.time() - mark.polled_at))
        except Unavailable:
            return
        yield from (circuit, failures, age)
