"""What an operator asks of events and jobs: which there are, and to try some of them again. It decides nothing."""

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from gateways.audit.log import Audit
from gateways.queue.inbox import Clock, EventRow
from gateways.queue.jobs import JobRow
from gateways.store.database import Database
from gateways.store.tables import inbox, jobs
from schemas.audit import AuditEntry


class EventFilter(NamedTuple):
    """Which events; None: any. `since`: accepted at or after, seconds since 1970. `below`: ids smaller than this."""

    state: str | None = None
    resource_type: str | None = None
    source: str | None = None
    code: str | None = None
    interaction: str | None = None
    since: float | None = None
    below: int | None = None

    def wanted(self) -> list[ColumnElement[bool]]:
        """As conditions."""
        same = (
            (inbox.c.state, self.state),
            (inbox.c.resource_type, self.resource_type),
            (inbox.c.source, self.source),
            (inbox.c.reason_code, self.code),
            (inbox.c.interaction, self.interaction),
        )
        found: list[ColumnElement[bool]] = [column == value for column, value in same if value is not None]
        if self.since is not None:
            found.append(inbox.c.first_seen >= self.since)
        if self.below is not None:
            found.append(inbox.c.id < self.below)
        return found


class Replayed(NamedTuple):
    """What was made due again; what was asked for and is not there; what was left alone, and why."""

    events: list[int]
    jobs: list[int]
    unknown: list[int]
    left: dict[int, str]


class Operations:
    """Events and jobs, for people."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock=clock)

    def events(self, which: EventFilter, *, count: int, offset: int = 0) -> list[EventRow]:
        """Events, newest first."""
        newest = select(inbox).where(and_(True, *which.wanted())).order_by(inbox.c.id.desc())
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(newest.limit(count).offset(offset))]

    def dead_jobs(self, *, code: str | None = None, count: int, offset: int = 0) -> list[JobRow]:
        """Jobs that gave up, newest first."""
        newest = select(jobs).where(*_dead_jobs(code)).order_by(jobs.c.id.desc()).limit(count).offset(offset)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(newest)]

    def jobs_of(self, event: EventRow) -> list[JobRow]:
        """The jobs that work on what an event was about: its study, its patient."""
        subject = f"{event.source}/{event.resource}"
        with self._database.read() as connection:
            patient = connection.scalar(select(inbox.c.patient).where(inbox.c.id == event.id))
            mine = or_(jobs.c.subject == subject, jobs.c.subject == patient)
            return [_job(row) for row in connection.execute(select(jobs).where(mine).order_by(jobs.c.id))]

    def codes(self) -> Mapping[str, Mapping[str, int]]:
        """How many dead letters there are, by reason code: of events and of jobs."""
        found: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for name, table in (("events", inbox), ("jobs", jobs)):
                dead = select(table.c.reason_code, func.count()).where(table.c.state == "dead")
                rows = connection.execute(dead.group_by(table.c.reason_code).order_by(table.c.reason_code))
                found[name] = {str(code or "unknown"): int(number) for code, number in rows}
        return found

    def replay(self, events: Collection[int], work: Collection[int], *, actor: str) -> Replayed:
        """Make these events and jobs due again, and record who wanted it."""
        there = inbox.c.interaction == "delete"
        there = or_(there, func.length(inbox.c.body) > 0)
        again = and_(inbox.c.id.in_(list(events)), inbox.c.state.in_(("dead", "done")), there)
        works = and_(jobs.c.id.in_(list(work)), jobs.c.state.in_(("dead", "idle")))
        return self._replay(again, works, asked=(events, work), actor=actor)

    def replay_dead(self, *, code: str | None = None, actor: str) -> Replayed:
        """Make every dead letter due again, or those with one reason."""
        return self._replay(and_(*_dead_events(code)), and_(*_dead_jobs(code)), asked=((), ()), actor=actor)

    def _replay(
        self,
        events: ColumnElement[bool],
        work: ColumnElement[bool],
        *,
        asked: tuple[Collection[int], Collection[int]],
        actor: str,
    ) -> Replayed:
        now = self._clock()
        fresh: dict[str, Any] = {"attempts": 0, "due_at": now, "woken_at": None}
        with self._database.write() as connection:
            states = _states(connection.execute(select(inbox).where(inbox.c.id.in_(list(asked[0])))))
            known = set(connection.scalars(select(jobs.c.id).where(jobs.c.id.in_(list(asked[1])))))
            unread = {**fresh, "state": "pending", "finished_at": None, "reason_code": None, "reason_text": None}
            taken = connection.scalars(update(inbox).where(events).values(**unread).returning(inbox.c.id))
            replayed = sorted(taken)
            due = {**fresh, "state": "due", "wanted": jobs.c.wanted + 1, "first_wanted": now}
            worked = sorted(connection.scalars(update(jobs).where(work).values(**due).returning(jobs.c.id)))
            if replayed or worked:
                detail: dict[str, str | int | bool | None] = {"events": len(replayed), "jobs": len(worked)}
                if replayed:
                    detail |= {"first": replayed[0], "last": replayed[-1]}
                said = AuditEntry(actor_kind="command", actor=actor, action="events-replayed", detail=detail)
                self._audit.append(connection, [said])
        return Replayed(
            events=replayed,
            jobs=worked,
            unknown=sorted({*set(asked[0]) - set(states), *set(asked[1]) - known}),
            left={event: why for event, why in states.items() if event not in replayed},
        )


def _states(rows: Any) -> dict[int, str]:
    """Why an event would be left alone."""
    return {
        row.id: "its body is gone (VBQ_RETENTION_DAYS)"
        if not row.body and row.state == "done"
        else f"it is {row.state}"
        for row in rows
    }


def _dead_events(code: str | None) -> list[ColumnElement[bool]]:
    return [inbox.c.state == "dead", *([inbox.c.reason_code == code] if code is not None else [])]


def _dead_jobs(code: str | None) -> list[ColumnElement[bool]]:
    return [jobs.c.state == "dead", *([jobs.c.reason_code == code] if code is not None else [])]


def _event(row: Any) -> EventRow:
    names = ("id", "source", "version", "interaction", "state", "attempts", "first_seen", "due_at")
    plain = {name: getattr(row, name) for name in (*names, "reason_code", "reason_text")}
    return EventRow(resource=f"{row.resource_type}/{row.resource_id}", **plain)


def _job(row: Any) -> JobRow:
    names = ("id", "kind", "subject", "state", "attempts", "due_at", "reason_code", "reason_text")
    return JobRow(**{name: getattr(row, name) for name in names})
