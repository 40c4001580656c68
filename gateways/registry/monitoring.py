"""What monitoring reads of the store, and the figures of its last run for Prometheus."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, select

from gateways.queue.inbox import Clock
from gateways.store.database import Database
from gateways.store.registry_tables import monitorings
from gateways.store.tables import CURRENT, assessments

AT_ONCE = 500


class Stored(NamedTuple):
    """An assessment as stored. `patient` is for matching outcomes alone and goes no further."""

    patient: str
    created: float
    body: dict[str, Any]


class Monitoring:
    """Assessments for monitoring, and the results of its runs."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def current(self, *, since: float, until: float, most: int) -> Iterator[Stored]:
        """The assessments that count and were made in the window (seconds since 1970), one a patient, the newest first.

        At most `most` of them: a distribution needs no more.
        """
        window = and_(assessments.c.created >= since, assessments.c.created < until)
        return self._stored(CURRENT, window, assessments.c.state != "withdrawn", most=most)

    def complete(self, digest: str, patients: Sequence[str]) -> Iterator[Stored]:
        """Complete assessments by one model of some patients; superseded ones too."""
        for start in range(0, len(patients), AT_ONCE):
            some = assessments.c.patient.in_(patients[start : start + AT_ONCE])
            yield from self._stored(some, assessments.c.model == digest, assessments.c.state == "complete")

    def _stored(self, *where: Any, most: int | None = None) -> Iterator[Stored]:
        columns = (assessments.c.patient, assessments.c.created, assessments.c.body)
        statement = select(*columns).where(*where).order_by(assessments.c.created.desc()).limit(most)
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=AT_ONCE).execute(statement):
                yield Stored(row.patient, row.created, json.loads(bytes(row.body)))

    def keep(self, digest: str, figures: Mapping[str, Any]) -> None:
        """Keep the figures of a run; /metrics shows the last one."""
        body = json.dumps(figures, allow_nan=False).encode()
        with self._database.write() as connection:
            connection.execute(monitorings.insert().values(created=self._clock(), digest=digest, body=body))

    def last(self) -> tuple[float, dict[str, Any]] | None:
        """When the last run was (seconds since 1970), and its figures."""
        newest = select(monitorings.c.created, monitorings.c.body).order_by(monitorings.c.created.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest).one_or_none()
        return (row.created, json.loads(bytes(row.body))) if row is not None else None
