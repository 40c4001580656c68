"""The audit log: rows that only grow, each sealed with the hash of the one before.

A row is written in the transaction of what it tells of, or by the one writer of gateways/audit/writer.py. The head of
the chain is one row that is locked until that transaction ends, so several processes make one chain: append last.
"""

import datetime as dt
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateways.queue.inbox import Clock
from gateways.store.audit_tables import audit, audit_head
from gateways.store.database import Database
from schemas.audit import AuditEntry, AuditRow, Checkpoint, Problem, Verified
from schemas.errors import StoreUnavailable

PAGE: Final = 2000
MOST_PROBLEMS: Final = 50


class Audit:
    """Adding to the log, reading and checking it. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def append(self, connection: Connection, entries: Sequence[AuditEntry]) -> None:
        """Write `entries` in the caller's transaction: they are there if and only if it is committed.

        To be the transaction's last statement, since nobody else can append until it ends.
        """
        if not entries:
            return
        head = connection.execute(
            select(audit_head).where(audit_head.c.name == "chain").with_for_update()
        ).one_or_none()
        if head is None:
            raise StoreUnavailable("the audit log has no head; run `vbq audit verify`, and restore it from a backup")
        sequence, last, rows = int(head.sequence), str(head.hash), []
        now = round(self._clock(), 3)
        for entry in entries:
            sequence += 1
            row = sealed(entry, sequence=sequence, recorded=now, previous=last, salt=secrets.token_hex(16))
            rows.append(row)
            last = row["hash"]
        connection.execute(audit.insert(), rows)
        connection.execute(update(audit_head).where(audit_head.c.name == "chain").values(sequence=sequence, hash=last))

    def write(self, entries: Sequence[AuditEntry]) -> None:
        """Write `entries` in a transaction of their own. Raises StoreUnavailable."""
        try:
            with self._database.write() as connection:
                self.append(connection, entries)
        except SQLAlchemyError as error:  # the writer's thread must outlive whatever it is
            raise StoreUnavailable(f"the audit log took no row ({type(error).__name__}); run `vbq doctor`") from error

    def erase(self, connection: Connection, patients: Sequence[str]) -> int:
        """Take out whom rows about `patients` are about; the chain stays whole. Returns how many rows it were."""
        mine = audit.c.patient.in_(list(patients))
        gone = {"patient": None, "entity": None, "salt": None}
        return connection.execute(update(audit).where(mine).values(**gone)).rowcount

    def rows(
        self,
        *,
        patient: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        action: str | None = None,
    ) -> Iterator[AuditRow]:
        """Rows in their order, in pages. `since` is inclusive, `until` is not."""
        wanted = []
        if patient is not None:
            wanted.append(audit.c.patient == patient)
        if since is not None:
            wanted.append(audit.c.recorded >= since.timestamp())
        if until is not None:
            wanted.append(audit.c.recorded < until.timestamp())
        if action is not None:
            wanted.append(audit.c.action == action)
        last = -1
        while True:
            page = select(audit).where(and_(audit.c.sequence > last, *wanted)).order_by(audit.c.sequence).limit(PAGE)
            with self._database.read() as connection:
                found = connection.execute(page).all()
            yield from (_row(row) for row in found)
            if len(found) < PAGE:
                return
            last = int(found[-1].sequence)

    def checkpoint(self) -> Checkpoint:
        """Where the chain stands now."""
        with self._database.read() as connection:
            head = connection.execute(select(audit_head).where(audit_head.c.name == "chain")).one_or_none()
        at = dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        return Checkpoint(sequence=int(head.sequence) if head else 0, hash=str(head.hash) if head else "", at=at)

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Verified:
        """Read the whole chain again: every row that was changed, taken out, put in or moved is a problem."""
        with self._database.read() as connection:  # a head that is older than the rows read is no problem
            head = connection.execute(select(audit_head).where(audit_head.c.name == "chain")).one_or_none()
        check = _Check({row.sequence: row.hash for row in checkpoints if row.sequence})
        if head is not None:
            check.expect_head(int(head.sequence), str(head.hash))
        last = -(2**62)
        while True:
            page = select(audit).where(audit.c.sequence > last).order_by(audit.c.sequence).limit(PAGE)
            with self._database.read() as connection:
                found = connection.execute(page).all()
            for row in found:
                check.see(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's documented name
            if len(found) < PAGE:
                break
            last = int(found[-1].sequence)
        check.end()
        return check.result()

    def count(self) -> int:
        """How many rows there are."""
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(audit)) or 0


class _Check:
    """One pass over the chain."""

    def __init__(self, checkpoints: dict[int, str]) -> None:
        self._checkpoints = checkpoints
        self._problems: list[Problem] = []
        self._expected = 1
        self._last = ""
        self._head: tuple[int, str] | None = None
        self._rows = self._erased = self._accounted = 0

    def expect_head(self, sequence: int, hash_: str) -> None:
        """What the head of the chain said before the rows were read."""
        self._head = (sequence, hash_)

    def see(self, row: dict[str, Any]) -> None:
        """The next row by its number."""
        sequence = int(row["sequence"])
        self._rows += 1
        if sequence < self._expected:
            self._say(sequence, "order", "its number is not one that this chain can hold")
        elif sequence > self._expected:
            gone = f"{self._expected} to {sequence - 1}" if sequence - self._expected > 1 else f"{self._expected}"
            self._say(sequence, "missing", f"row {gone} is not there")
        elif row["previous"] != self._last:
            self._say(sequence, "link", "it does not follow the row before it: one of the two was replaced")
        self._content(sequence, row)
        if self._checkpoints.get(sequence, row["hash"]) != row["hash"]:
            self._say(sequence, "checkpoint", "it is not the row that a checkpoint vouches for: the log was rewritten")
        if self._head is not None and self._head[0] == sequence and self._head[1] != row["hash"]:
            self._say(sequence, "head", "it is not the row that the head of the chain names")
        self._last, self._expected = str(row["hash"]), sequence + 1

    def _content(self, sequence: int, row: dict[str, Any]) -> None:
        if hash_of(row) != row["hash"]:
            self._say(sequence, "changed", "its content is not what its hash was made of")
        if row["salt"] is None:
            self._erased += 1
            if row["patient"] is not None or row["entity"] is not None:
                self._say(sequence, "changed", "whom it is about cannot be proved: its salt is gone")
        elif about(row["salt"], row["patient"], row["entity"]) != row["about"]:
            self._say(sequence, "changed", "whom or what it is about was changed")
        if row["action"] == "erased":
            self._accounted += int(json.loads(row["detail"]).get("audit_rows", 0))

    def end(self) -> None:
        """All rows were seen."""
        there = self._expected - 1
        if self._head is None:
            self._say(None, "head", "the head of the chain is not there")
        elif self._head[0] > there:
            text = f"the last rows were taken out: the head stands at {self._head[0]}, the log at {there}"
            self._say(self._head[0], "short", text)
        if any(sequence > there for sequence in self._checkpoints):
            wanted = max(self._checkpoints)
            self._say(wanted, "short", f"the last rows were taken out: a checkpoint vouches for row {wanted}")
        if self._erased > self._accounted:
            text = f"{self._erased} rows are without their patient, and erasures account for {self._accounted}"
            self._say(None, "erased", text)

    def result(self) -> Verified:
        return Verified(
            ok=not self._problems,
            rows=self._rows,
            head=self._last,
            erased_rows=self._erased,
            problems=self._problems[:MOST_PROBLEMS],
        )

    def _say(self, sequence: int | None, code: Any, text: str) -> None:
        self._problems.append(Problem(sequence=sequence, code=code, text=text))


def sealed(entry: AuditEntry, *, sequence: int, recorded: float, previous: str, salt: str) -> dict[str, Any]:
    """`entry` as a row of the chain."""
    row: dict[str, Any] = {
        "sequence": sequence,
        "recorded": recorded,
        "actor_kind": entry.actor_kind,
        "actor": entry.actor,
        "action": entry.action,
        "outcome": entry.outcome,
        "detail": json.dumps(entry.detail, sort_keys=True, separators=(",", ":")),
        "patient": entry.patient,
        "entity": entry.entity,
        "salt": salt,
        "about": about(salt, entry.patient, entry.entity),
        "previous": previous,
    }
    return {**row, "hash": hash_of(row)}


def about(salt: str, patient: str | None, entity: str | None) -> str:
    """A digest that stands for whom a row is about, and says nothing once the salt is gone."""
    return hashlib.sha256(json.dumps([salt, patient, entity]).encode()).hexdigest()


def hash_of(row: dict[str, Any]) -> str:
    """The hash of a row: over everything but what an erasure may take out."""
    kept = ("sequence", "recorded", "actor_kind", "actor", "action", "outcome", "detail", "about", "previous")
    return hashlib.sha256(json.dumps([row[name] for name in kept]).encode()).hexdigest()


def _row(row: Any) -> AuditRow:
    return AuditRow(
        sequence=row.sequence,
        recorded=dt.datetime.fromtimestamp(row.recorded, dt.UTC),
        actor_kind=row.actor_kind,
        actor=row.actor,
        action=row.action,
        outcome=row.outcome,
        detail=json.loads(row.detail),
        patient=row.patient,
        entity=row.entity,
        erased=row.salt is None,
        hash=row.hash,
    )
