"""What the store holds of each patient, for building a cohort."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from gateways.records.facts import Facts, StoredResource
from gateways.records.results import Results
from gateways.store.database import Database
from gateways.store.tables import resources
from schemas.measurement import Measurement


@dataclass(frozen=True)
class StoredPatient:
    """`patient` is for matching outcomes alone and goes no further. `measurements` by subject (source/Type/id)."""

    patient: str
    rows: Sequence[StoredResource]
    measurements: dict[str, Measurement]


class CohortSource:
    """Reads patient by patient, each in a transaction of its own, so that a long build holds nobody up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._facts, self._results = Facts(database), Results(database)

    def measurements(self, patient: str) -> dict[str, Measurement]:
        """What was measured of one patient, by subject."""
        with self._database.read() as connection:
            return self._results.measurements(connection, patient)

    def patients(self) -> Iterator[StoredPatient]:
        """Everybody of whom anything was sent."""
        with self._database.read() as connection:
            everybody = select(resources.c.patient).where(resources.c.patient.is_not(None)).distinct()
            names = sorted(connection.scalars(everybody))
        for name in names:
            with self._database.read() as connection:
                rows = self._facts.of_patient(connection, name)
                measured = self._results.measurements(connection, name)
            yield StoredPatient(name, rows, measured)
