"""What the sweeper looks for: rows that are due and that nobody is at work on."""

import time

from sqlalchemy import ColumnElement, Connection, and_, not_, or_, select, update

from gateways.queue import holders
from gateways.queue.broker import WakeKind
from gateways.queue.inbox import BATCH, Clock
from gateways.store.database import Database
from gateways.store.tables import OPEN_EVENTS, OPEN_JOBS, inbox, jobs, leases

MOST_EVENTS = 20 * BATCH
MOST_JOBS = 200
QUIET_SECONDS = 3.0


class Wakeups:
    """Finding due work, and the lease that keeps two sweepers from finding the same."""

    def __init__(self, database: Database, *, again_seconds: float = 2.0, clock: Clock = time.time) -> None:
        """A row that nobody took is announced again after `again_seconds`."""
        self._database = database
        self._again_seconds = again_seconds
        self._clock = clock
        self._busy_at = -QUIET_SECONDS

    def lead(self, holder: str, *, seconds: float) -> bool:
        """Take or renew the sweeper's lease; False while another holder has it that may be alive."""
        now = self._clock()
        row = {"name": "sweeper", "holder": holder, "until": now + seconds}
        with self._database.write() as connection:
            statement = self._database.insert(leases).values(row)
            free = or_(leases.c.holder == holder, leases.c.until < now)
            taken = statement.on_conflict_do_update(index_elements=["name"], set_=row, where=free)
            if connection.execute(taken.returning(leases.c.name)).one_or_none() is not None:
                return True
            before = connection.scalar(select(leases.c.holder).where(leases.c.name == "sweeper")) or ""
            if not holders.is_dead(before):
                return False
            mine = update(leases).where(leases.c.name == "sweeper", leases.c.holder == before).values(row)
            return connection.execute(mine).rowcount == 1

    def leave(self, holder: str) -> None:
        """Give the lease back, so that a successor need not wait for its end."""
        with self._database.write() as connection:
            connection.execute(leases.delete().where(leases.c.name == "sweeper", leases.c.holder == holder))

    def free_all(self) -> int:
        """End every claim, for a supervisor that knows that no worker lives; tokens still guard effects."""
        changed = 0
        with self._database.write() as connection:
            for table in (inbox, jobs):
                held = update(table).where(table.c.state == "running").values(lease_until=0.0, woken_at=None)
                changed += connection.execute(held).rowcount
        return changed

    def free_dead(self) -> int:
        """End the claims of processes of this machine that have died; returns how many. Tokens still guard effects."""
        running = [(table, table.c.state == "running") for table in (inbox, jobs)]
        open_rows = {inbox: OPEN_EVENTS, jobs: OPEN_JOBS}
        with self._database.read() as connection:
            found = {
                holder
                for table, held in running
                for holder in connection.scalars(select(table.c.holder).distinct().where(open_rows[table], held))
            }
        dead = [holder for holder in found if holder is not None and holders.is_dead(holder)]
        changed = 0
        if dead:
            with self._database.write() as connection:
                for table, held in running:
                    theirs = update(table).where(open_rows[table], held, table.c.holder.in_(dead))
                    changed += connection.execute(theirs.values(lease_until=0.0, holder=None, woken_at=None)).rowcount
        return changed

    def due(self) -> list[tuple[WakeKind, int]]:
        """Rows to announce now; each is marked as announced. Of new events one in BATCH: a worker takes the others."""
        now = self._clock()
        with self._database.read() as connection:  # most sweeps find nothing and need not write
            some = self._some(connection, now)
            idle = None if some else self._when_idle(connection, now)
        if some:
            self._busy_at = now
        if not some and idle is None:
            return []
        with self._database.write() as connection:
            if idle is not None:
                connection.execute(update(jobs).where(jobs.c.id == idle, jobs.c.when_idle).values(due_at=now))
            events = self._events(connection, now)
            return [*events[::BATCH], *self._jobs(connection, now)]

    def _when_idle(self, connection: Connection, now: float) -> int | None:
        """A job that nobody waits for, where it holds nobody up: no event, nothing due, nobody at work for a while."""
        waits = and_(jobs.c.when_idle, jobs.c.state == "due", jobs.c.due_at > now)
        job = connection.scalar(select(jobs.c.id).where(OPEN_JOBS, waits).order_by(jobs.c.due_at).limit(1))
        if job is None:
            return None
        newest = connection.scalar(select(inbox.c.first_seen).order_by(inbox.c.id.desc()).limit(1))
        if newest is not None and now - QUIET_SECONDS < newest <= now:
            return None
        soon = and_(jobs.c.state == "due", jobs.c.due_at <= now + QUIET_SECONDS)
        work = select(jobs.c.id).where(OPEN_JOBS, or_(jobs.c.state == "running", soon), not_(jobs.c.when_idle))
        called = select(jobs.c.id).where(OPEN_JOBS, jobs.c.when_idle, jobs.c.state == "due", jobs.c.due_at <= now)
        events = select(inbox.c.id).where(OPEN_EVENTS, inbox.c.state.in_(("pending", "running")))
        if any(connection.scalar(one.limit(1)) is not None for one in (work, events)):
            self._busy_at = now
        if self._busy_at > now - QUIET_SECONDS or connection.scalar(called.limit(1)) is not None:
            return None
        return int(job)

    def _some(self, connection: Connection, now: float) -> bool:
        events = select(inbox.c.id).where(OPEN_EVENTS, *self._due_events(now)).limit(1)
        work = select(jobs.c.id).where(OPEN_JOBS, *self._due_jobs(now)).limit(1)
        return any(connection.execute(statement).one_or_none() is not None for statement in (events, work))

    def _events(self, connection: Connection, now: float) -> list[tuple[WakeKind, int]]:
        found = select(inbox.c.id).where(OPEN_EVENTS, *self._due_events(now)).order_by(inbox.c.due_at)
        ids = list(connection.scalars(found.limit(MOST_EVENTS).with_for_update(skip_locked=True)))
        for start in range(0, len(ids), 500):
            connection.execute(update(inbox).where(inbox.c.id.in_(ids[start : start + 500])).values(woken_at=now))
        return [("event", row) for row in ids]

    def _jobs(self, connection: Connection, now: float) -> list[tuple[WakeKind, int]]:
        found = select(jobs.c.id, jobs.c.kind).where(OPEN_JOBS, *self._due_jobs(now)).order_by(jobs.c.due_at)
        rows = connection.execute(found.limit(MOST_JOBS).with_for_update(skip_locked=True)).all()
        connection.execute(update(jobs).where(jobs.c.id.in_([row.id for row in rows])).values(woken_at=now))
        return [(row.kind, row.id) for row in rows]

    def _due_events(self, now: float) -> list[ColumnElement[bool]]:
        return [
            or_(
                and_(inbox.c.state == "pending", inbox.c.due_at <= now),
                and_(inbox.c.state == "running", inbox.c.lease_until < now),
            ),
            or_(inbox.c.woken_at.is_(None), inbox.c.woken_at <= now - self._again_seconds),
        ]

    def _due_jobs(self, now: float) -> list[ColumnElement[bool]]:
        return [
            or_(
                and_(jobs.c.state == "due", jobs.c.due_at <= now),
                and_(jobs.c.state == "running", jobs.c.lease_until < now),
            ),
            or_(jobs.c.woken_at.is_(None), jobs.c.woken_at <= now - self._again_seconds),
        ]
