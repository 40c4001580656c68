"""Asking for stored assessments to be made again, in batches, so that live events keep their place in front.

The worker does the work, as for any event: the new assessment supersedes the old one, which stays. How far the asking
has come is in the database: whoever calls again goes on where the last one stopped.
"""

import time
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from gateways.queue.inbox import Clock
from gateways.queue.jobs import Jobs
from gateways.store.database import Database
from gateways.store.registry_tables import rescorings, shadow_scores
from gateways.store.tables import CURRENT, OPEN_JOBS, assessments, jobs

Purpose = Literal["active", "shadow"]


@dataclass(frozen=True)
class Progress:
    """`asked` of `asked + left` patients; `waiting` of their jobs are due or at work, `dead` gave up."""

    asked: int
    left: int
    waiting: int
    dead: int
    finished: bool


class Rescoring:
    """Makes assessments again with the model of one digest, or has its shadow scores filled in."""

    def __init__(
        self, database: Database, digest: str, purpose: Purpose = "active", *, clock: Clock = time.time
    ) -> None:
        self._database = database
        self._jobs = Jobs(database, clock=clock)
        self._clock = clock
        self._digest = digest
        self._purpose = purpose
        self._row = and_(rescorings.c.digest == digest, rescorings.c.purpose == purpose)

    def begin(self) -> None:
        """Start, or go on with one that was not finished."""
        fresh = {"cursor": "", "asked": 0, "started": self._clock(), "finished": None}
        statement = self._database.insert(rescorings).values(digest=self._digest, purpose=self._purpose, **fresh)
        done = rescorings.c.finished.is_not(None)
        again = statement.on_conflict_do_update(index_elements=["digest", "purpose"], set_=fresh, where=done)
        with self._database.write() as connection:
            connection.execute(again)

    def ask(self, most: int) -> int:
        """Ask for at most `most` patients more; how many it were. 0: all are asked for."""
        with self._database.write() as connection:
            place = connection.execute(select(rescorings).where(self._row).with_for_update()).one()
            if place.finished is not None:
                return 0
            stale = self._stale(place.cursor)
            found = connection.execute(
                select(assessments.c.id, assessments.c.patient).where(*stale).order_by(assessments.c.id).limit(most)
            ).all()
            for row in found:
                self._jobs.bump(connection, "assess", row.patient, row.patient)
            asked, now = place.asked + len(found), self._clock()
            values = {"cursor": found[-1].id if found else place.cursor, "asked": asked}
            if len(found) < most:
                asked += self._revive(connection)
                values |= {"asked": asked, "finished": now}
            connection.execute(update(rescorings).where(self._row).values(**values))
        return int(asked - place.asked)

    def progress(self) -> Progress:
        """Where it stands."""
        with self._database.read() as connection:
            place = connection.execute(select(rescorings).where(self._row)).one_or_none()
            finished = place is not None and place.finished is not None
            cursor = place.cursor if place is not None else ""
            left = select(func.count()).select_from(assessments).where(*self._stale(cursor))
            return Progress(
                asked=int(place.asked) if place is not None else 0,
                left=0 if finished else connection.scalar(left) or 0,
                waiting=self._count(connection, jobs.c.state.in_(("due", "running"))),
                dead=self._count(connection, jobs.c.state == "dead"),
                finished=finished,
            )

    def stale(self) -> int:
        """How many assessments that count were made by another model, or lack a shadow score."""
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(assessments).where(*self._stale(""))) or 0

    def _stale(self, cursor: str) -> list[ColumnElement[bool]]:
        other: ColumnElement[bool] = or_(assessments.c.model != self._digest, assessments.c.model.is_(None))
        if self._purpose == "shadow":
            mine = and_(shadow_scores.c.assessment == assessments.c.id, shadow_scores.c.digest == self._digest)
            other = ~exists().where(mine)
        current: ColumnElement[bool] = and_(CURRENT, assessments.c.state != "withdrawn")
        return [current, other, assessments.c.id > cursor]

    def _revive(self, connection: Connection) -> int:
        """Patients whose assessment died of the model (revoked, expired) have none to make again: ask for it now."""
        dead = and_(OPEN_JOBS, jobs.c.kind == "assess", jobs.c.state == "dead", jobs.c.reason_code.like("model-%"))
        found = list(connection.scalars(select(jobs.c.patient).where(dead)))
        for patient in found:
            self._jobs.bump(connection, "assess", patient, patient)
        return len(found)

    def _count(self, connection: Connection, state: ColumnElement[bool]) -> int:
        wanted = select(func.count()).select_from(jobs).where(OPEN_JOBS, jobs.c.kind == "assess", state)
        return connection.scalar(wanted) or 0


def standing(database: Database, digest: str) -> int:
    """How many assessments that count were made by the model with this digest."""
    mine = and_(CURRENT, assessments.c.model == digest, assessments.c.state != "withdrawn")
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(assessments).where(mine)) or 0
