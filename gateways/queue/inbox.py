"""The inbox: every accepted event is a row here before its sender hears 202, and stays until done or dead."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, not_, or_, select, tuple_, update

from gateways.queue import holders
from gateways.store.database import Database
from gateways.store.group_commit import GroupCommit
from gateways.store.tables import OPEN_EVENTS, OPEN_JOBS, inbox, jobs
from schemas.errors import NotAcceptable, Superseded
from schemas.events import IncomingEvent, Receipt

BATCH = 50
# A claim holds this long and is renewed while its work lasts, so the work of a killed worker is free again soon.
HOLD_SECONDS = 10.0
Clock = Callable[[], float]
_DIGEST = re.compile(r"[0-9a-f]{64}")  # the version of a resource whose sender states none


@dataclass(frozen=True)
class Claim:
    """The right to work on a row until `until` (seconds since 1970); `token` is checked when the effect is written."""

    id: int
    token: int
    attempts: int
    until: float


@dataclass(frozen=True)
class ClaimedEvent:
    claim: Claim
    event: IncomingEvent


@dataclass(frozen=True)
class EventRow:
    """A row as an operator sees it. Times are seconds since 1970."""

    id: int
    source: str
    resource: str
    version: str
    interaction: str
    state: str
    attempts: int
    first_seen: float
    due_at: float
    reason_code: str | None
    reason_text: str | None


EventRows = list[EventRow]  # inside the class, `list` is the method that contract names
Ids = list[int]
Receipts = list[Receipt]


class Inbox:
    """Accepting, claiming and finishing events. One per process."""

    def __init__(self, database: Database, *, lease_seconds: float = HOLD_SECONDS, clock: Clock = time.time) -> None:
        self._database = database
        self._hold_seconds = lease_seconds
        self._clock = clock
        self._writer: GroupCommit[Sequence[IncomingEvent], list[Receipt]] = GroupCommit(
            self._accept_all, name="inbox-writer"
        )

    def accept(self, events: Sequence[IncomingEvent]) -> list[Receipt]:
        """Write `events` durably, all or none; a version that is there already gets its old receipt again.

        Raises StoreUnavailable if nothing was written; the sender may send again without harm.
        """
        return self._writer.submit(events) if events else []

    def accept_soon(self, events: Sequence[IncomingEvent]) -> "asyncio.Future[list[Receipt]]":
        """The same on an event loop: awaited, not waited for. `events`: at least one."""
        return self._writer.submit_soon(events)

    def close(self) -> None:
        """Write what was submitted and stop the writer."""
        self._writer.close()

    def _accept_all(self, groups: Sequence[Sequence[IncomingEvent]]) -> list[list[Receipt]]:
        flat = [event for group in groups for event in group]
        made = self._all_new(flat)
        if made is None:
            with self._database.write() as connection:
                made = self._insert(connection, flat)
        receipts = iter(made)
        return [[next(receipts) for _ in group] for group in groups]

    def _all_new(self, events: Sequence[IncomingEvent]) -> Receipts | None:
        """The short way, where every event is new; None where it is not, or its version depends on what is there."""
        if any(event.interaction == "delete" for event in events):
            return None
        now = self._clock()
        ids = self._database.insert_new(inbox, [_row(event, event.version, now) for event in events])
        if ids is None:
            return None
        return [_receipt(event, row, repeat=False) for event, row in zip(events, ids, strict=True)]

    def _insert(self, connection: Connection, events: Sequence[IncomingEvent]) -> list[Receipt]:
        now = self._clock()
        versions = [_version(connection, event) for event in events]
        keys = [_key(event, version) for event, version in zip(events, versions, strict=True)]
        rows = [_row(event, version, now) for event, version in zip(events, versions, strict=True)]
        columns = (inbox.c.id, inbox.c.source, inbox.c.resource_type, inbox.c.resource_id, inbox.c.version)
        statement = self._database.insert(inbox).on_conflict_do_nothing().returning(*columns)
        ids = {tuple(row[1:]): row[0] for row in connection.execute(statement, rows)}
        for place, event in enumerate(events):
            if keys[place] not in ids and (back := _brought_back(connection, event)) is not None:
                made = connection.execute(statement, [_row(event, back, now)]).one_or_none()
                keys[place] = _key(event, back)
                ids |= {keys[place]: made[0]} if made is not None else {}
        fresh = set(ids)
        old = list(dict.fromkeys(key for key in keys if key not in ids))
        for start in range(0, len(old), BATCH):
            known = select(*columns).where(tuple_(*columns[1:]).in_(old[start : start + BATCH]))
            ids.update({tuple(row[1:]): row[0] for row in connection.execute(known)})
        receipts = []
        for event, key in zip(events, keys, strict=True):
            receipts.append(_receipt(event, ids[key], repeat=key not in fresh))
            fresh.discard(key)  # the same version twice in one request is one row
        return receipts

    def claim(self, event: int | None = None, *, limit: int = BATCH) -> list[ClaimedEvent]:
        """Lease `event` and, with it, other rows that are due: one wake-up may stand for many rows.

        A row that failed before is leased alone, so that one that kills its worker cannot take others along, and first
        where it is named or has waited for longer than the new ones, so that a flow of new ones cannot starve it.
        """
        now = self._clock()
        free = or_(
            and_(inbox.c.state == "pending", inbox.c.due_at <= now),
            and_(inbox.c.state == "running", inbox.c.lease_until < now),
        )
        with self._database.write() as connection:
            since = func.coalesce(inbox.c.lease_until, inbox.c.due_at).label("since")
            due = select(inbox.c.id, since).where(OPEN_EVENTS, free).with_for_update(skip_locked=True)
            failed_first = (inbox.c.id == (event or 0)).desc()
            failed = connection.execute(due.where(inbox.c.attempts > 0).order_by(failed_first, since).limit(1)).all()
            fresh = connection.execute(due.where(inbox.c.attempts == 0).order_by(inbox.c.due_at).limit(limit)).all()
            first = failed and (failed[0].id == event or not fresh or failed[0].since < fresh[0].since)
            ids = [row.id for row in (failed if first else fresh)]
            if not ids:
                return []
            until = now + self._hold_seconds
            taken = (
                update(inbox)
                .where(inbox.c.id.in_(ids))
                .values(
                    state="running",
                    attempts=inbox.c.attempts + 1,
                    lease_until=until,
                    lease_token=inbox.c.lease_token + 1,
                    holder=holders.own(),
                )
                .returning(inbox)
            )
            return sorted((_claimed(row, until) for row in connection.execute(taken)), key=lambda row: row.claim.id)

    def finish(self, connection: Connection, claim: Claim, *, code: str | None = None, text: str | None = None) -> None:
        """The event had its effect (written in the same transaction). Raises Superseded if the lease was lost."""
        self._settle(connection, claim, state="done", reason_code=code, reason_text=text, finished_at=self._clock())

    def bury(self, connection: Connection, claim: Claim, *, code: str, text: str) -> None:
        """The event can never have an effect: a dead letter with its reason."""
        self._settle(connection, claim, state="dead", reason_code=code, reason_text=text, finished_at=self._clock())

    def fail(self, connection: Connection, claim: Claim, *, code: str, text: str, delay_seconds: float) -> None:
        """Try again after `delay_seconds`."""
        due_at = self._clock() + delay_seconds
        self._settle(connection, claim, state="pending", reason_code=code, reason_text=text, due_at=due_at)

    def _settle(self, connection: Connection, claim: Claim, **values: Any) -> None:
        mine = and_(inbox.c.id == claim.id, inbox.c.lease_token == claim.token, inbox.c.state == "running")
        changed = connection.execute(
            update(inbox).where(mine).values(lease_until=None, holder=None, woken_at=None, **values)
        )
        if changed.rowcount != 1:
            raise Superseded(f"event {claim.id} was taken over by another worker; nothing was written")

    def waiting(self, connection: Connection, patient: str) -> bool:
        """Whether events about `patient` wait to be read."""
        found = and_(OPEN_EVENTS, inbox.c.patient == patient, inbox.c.state != "dead")
        return connection.execute(select(inbox.c.id).where(found).limit(1)).one_or_none() is not None

    def stats(self) -> dict[str, float | int]:
        """Counts for operators. An event counts as pending until the work that it started has ended.

        accepted = done + dead + pending; `jobs_*` are the part of it that is past the inbox.
        """
        now = self._clock()
        with self._database.read() as connection:
            accepted = connection.scalar(select(func.count()).select_from(inbox)) or 0
            dead = func.coalesce(func.sum(case((inbox.c.state == "dead", 1), else_=0)), 0)
            oldest = func.min(case((inbox.c.state != "dead", inbox.c.first_seen)))
            rows = connection.execute(select(func.count(), dead, oldest).where(OPEN_EVENTS)).one()
            dead = func.coalesce(func.sum(case((jobs.c.state == "dead", 1), else_=0)), 0)
            awaited = and_(jobs.c.state != "dead", not_(jobs.c.when_idle))
            oldest = func.min(case((awaited, jobs.c.first_wanted)))
            work = connection.execute(select(func.count(), dead, oldest).where(OPEN_JOBS)).one()
        dead_letters = min(accepted, rows[1] + work[1])
        pending = min(accepted - dead_letters, rows[0] - rows[1] + work[0] - work[1])
        since = [moment for moment in (rows[2], work[2]) if moment is not None]
        return {
            "accepted": accepted,
            "done": accepted - dead_letters - pending,
            "dead": dead_letters,
            "pending": pending,
            "oldest_pending_seconds": round(max(0.0, now - min(since)), 3) if since else 0.0,
            "jobs_pending": work[0] - work[1],
            "jobs_dead": work[1],
        }

    def list(self, *, state: str | None = None, count: int = 50, offset: int = 0) -> EventRows:
        """Rows, newest first."""
        statement = select(inbox).order_by(inbox.c.id.desc()).limit(count).offset(offset)
        if state is not None:
            statement = statement.where(inbox.c.state == state)
        with self._database.read() as connection:
            return [_event_row(row) for row in connection.execute(statement)]

    def show(self, event: int) -> tuple[EventRow, bytes]:
        """One row and its body. Raises NotAcceptable if there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(inbox).where(inbox.c.id == event)).one_or_none()
        if row is None:
            raise NotAcceptable(f"there is no event {event}; `vbq events list` shows what there is", code="unknown")
        return _event_row(row), bytes(row.body)

    def dead(self, *, count: int = 50, offset: int = 0) -> EventRows:
        """Dead letters, newest first."""
        return self.list(state="dead", count=count, offset=offset)

    def replay(self, events: Iterable[int] | None = None) -> Ids:
        """Make `events` (default: every dead letter) due again; returns the ids. A row that is at work is left alone,
        and so is one whose body is gone.

        Replaying what was done changes nothing: versions and keys decide, not arrivals.
        """
        now = self._clock()
        wanted = and_(OPEN_EVENTS, inbox.c.state == "dead")
        if events is not None:
            there = or_(inbox.c.interaction == "delete", func.length(inbox.c.body) > 0)  # VBQ_RETENTION_DAYS
            wanted = and_(inbox.c.state.in_(("dead", "done")), inbox.c.id.in_(list(events)), there)
        again = {"state": "pending", "attempts": 0, "due_at": now, "reason_code": None, "reason_text": None}
        with self._database.write() as connection:
            changed = update(inbox).where(wanted).values(**again, finished_at=None, woken_at=None)
            return sorted(connection.scalars(changed.returning(inbox.c.id)))


def _receipt(event: IncomingEvent, row: int, *, repeat: bool) -> Receipt:
    resource = f"{event.resource_type}/{event.resource_id}"
    return Receipt(event=row, resource=resource, version=event.version, repeat=repeat)


def _key(event: IncomingEvent, version: str) -> tuple[str, str, str, str]:
    return (event.source, event.resource_type, event.resource_id, version)


def _row(event: IncomingEvent, version: str, now: float) -> dict[str, Any]:
    return {
        "source": event.source,
        "resource_type": event.resource_type,
        "resource_id": event.resource_id,
        "version": version,
        "interaction": event.interaction,
        "patient": event.patient,
        "body": event.body,
        "state": "pending",
        "attempts": 0,
        "first_seen": now,
        "due_at": now,
        "woken_at": now,  # the relay wakes a worker right after the commit; the sweeper waits before it does
        "lease_token": 0,
    }


def _brought_back(connection: Connection, event: IncomingEvent) -> str | None:
    """The version of an event that was here before, where its resource was deleted since: it comes back.

    Only where the sender states no version: with one, the same version after a delete is a repeat that came late.
    """
    if event.interaction != "upsert" or not _DIGEST.fullmatch(event.version):
        return None
    row = _last(connection, event)
    return f"{event.version}-after-{row.id}" if row is not None and row.interaction == "delete" else None


def _last(connection: Connection, event: IncomingEvent) -> Any:
    """The last event about the same resource."""
    same = and_(
        inbox.c.source == event.source,
        inbox.c.resource_type == event.resource_type,
        inbox.c.resource_id == event.resource_id,
    )
    last = select(inbox.c.id, inbox.c.version, inbox.c.interaction).where(same).order_by(inbox.c.id.desc()).limit(1)
    return connection.execute(last).one_or_none()


def _version(connection: Connection, event: IncomingEvent) -> str:
    """The version that the row is kept under.

    A plain delete states none: it is one per version that it deletes, so that delete, create, delete are three events
    and a delete sent twice is one.
    """
    if event.interaction != "delete" or not event.version.startswith("deleted"):
        return event.version
    row = _last(connection, event)
    if row is None:
        return "deleted"
    return str(row.version) if row.interaction == "delete" else f"deleted-after-{row.id}"


def _claimed(row: Any, until: float) -> ClaimedEvent:
    event = IncomingEvent(
        source=row.source,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        version=row.version,
        interaction=row.interaction,
        patient=row.patient,
        body=bytes(row.body),
    )
    return ClaimedEvent(Claim(id=row.id, token=row.lease_token, attempts=row.attempts, until=until), event)


def _event_row(row: Any) -> EventRow:
    return EventRow(
        id=row.id,
        source=row.source,
        resource=f"{row.resource_type}/{row.resource_id}",
        version=row.version,
        interaction=row.interaction,
        state=row.state,
        attempts=row.attempts,
        first_seen=row.first_seen,
        due_at=row.due_at,
        reason_code=row.reason_code,
        reason_text=row.reason_text,
    )
