"""What is not needed any more goes after VBQ_RETENTION_DAYS, in small transactions beside the work.

Bodies of events that are done (the row stays, so that a repeat is still known as one), superseded assessments that the
EHR has heard of, with their resources and shadow scores, and the words of old feedback. What counts now stays.
"""

import time
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, delete, func, select, update

from gateways.audit.log import Audit
from gateways.queue.inbox import Clock
from gateways.records.feedback import feedback
from gateways.store.database import Database
from gateways.store.registry_tables import shadow_scores
from gateways.store.tables import assessments, inbox, published
from schemas.audit import AuditEntry

BATCH: Final = 500
DAY_SECONDS: Final = 86400.0


class Removed(NamedTuple):
    """How much went."""

    event_bodies: int = 0
    assessments: int = 0
    feedback_bodies: int = 0

    @property
    def total(self) -> int:
        return sum(self)


class Retention:
    """Applying it."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock=clock)

    def apply(self, days: float, *, actor: str, kind: str = "system", most: int | None = None) -> Removed:
        """Remove what is older than `days`; at most about `most` rows. Raises StoreUnavailable; call again then."""
        before = self._clock() - days * DAY_SECONDS
        total = Removed()
        while most is None or total.total < most:
            with self._database.write() as connection:
                if self._database.is_sqlite:
                    connection.exec_driver_sql("PRAGMA secure_delete = ON")
                step = Removed(
                    self._events(connection, before),
                    self._assessments(connection, before),
                    self._feedback(connection, before),
                )
                if step.total:
                    detail: dict[str, str | int | bool | None] = {"days": round(days), **step._asdict()}
                    said = AuditEntry(
                        actor_kind="command" if kind == "command" else "system",
                        actor=actor,
                        action="retention",
                        detail=detail,
                    )
                    self._audit.append(connection, [said])
            total = Removed(*(one + other for one, other in zip(total, step, strict=True)))
            if step.total < BATCH:
                return total
        return total

    def _events(self, connection: Connection, before: float) -> int:
        old = and_(
            inbox.c.state == "done",
            inbox.c.finished_at < before,
            func.length(inbox.c.body) > 0,
        )
        some = select(inbox.c.id).where(old).order_by(inbox.c.id).limit(BATCH)
        return connection.execute(update(inbox).where(inbox.c.id.in_(some)).values(body=b"")).rowcount

    def _assessments(self, connection: Connection, before: float) -> int:
        gone = and_(
            assessments.c.current.is_(False),
            assessments.c.sent.is_(True),
            assessments.c.created < before,
        )
        ids = list(connection.scalars(select(assessments.c.id).where(gone).limit(BATCH)))
        if ids:
            connection.execute(delete(shadow_scores).where(shadow_scores.c.assessment.in_(ids)))
            theirs = and_(published.c.assessment.in_(ids), published.c.patient.is_not(None))
            connection.execute(delete(published).where(theirs))
            connection.execute(delete(assessments).where(assessments.c.id.in_(ids)))
        return len(ids)

    def _feedback(self, connection: Connection, before: float) -> int:
        old = and_(feedback.c.received < before, func.length(feedback.c.body) > 0)
        key = (feedback.c.service, feedback.c.card, feedback.c.outcome, feedback.c.outcome_timestamp)
        some = connection.execute(select(*key).where(old).limit(BATCH)).all()
        for row in some:
            same = and_(*(column == value for column, value in zip(key, row, strict=True)))
            connection.execute(update(feedback).where(same).values(body=b""))
        return len(some)
