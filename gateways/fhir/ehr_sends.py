"""Sends to the EHR that began and were not seen to end: noted on disk before the call, struck out with its success."""

import time
from collections.abc import Callable

from sqlalchemy import Connection, delete

from gateways.store.database import Database
from gateways.store.ehr_tables import ehr_sends


class EhrSends:
    """One note per patient, since one worker at a time publishes for a patient."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def begin(self, connection: Connection, patient: str) -> bool:
        """Note that a send begins. True where an earlier one was not seen to end: nobody knows what the EHR has."""
        row = {"patient": patient, "begun": self._clock()}
        noted = self._database.insert(ehr_sends).values(row).on_conflict_do_nothing()
        return connection.execute(noted.returning(ehr_sends.c.patient)).one_or_none() is None

    def end(self, connection: Connection, patient: str) -> None:
        """The EHR has answered: what it has is known."""
        connection.execute(delete(ehr_sends).where(ehr_sends.c.patient == patient))
