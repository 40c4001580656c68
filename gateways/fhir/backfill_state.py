"""How far a back-fill is, in the database: whoever goes on after a crash reads no more than a batch twice."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import and_, delete, or_, select, update

from gateways.store.database import Database
from gateways.store.ehr_tables import backfill_parts, backfills
from gateways.store.tables import leases

MOST_CODES = 100
Mode = Literal["", "export", "search", "left"]


@dataclass(frozen=True)
class Part:
    """A file of an export, or the search of one type. `lines` of it are in the inbox."""

    number: int
    kind: str
    resource_type: str
    url: str
    with_login: bool
    total: int | None
    lines: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Backfill:
    """One back-fill. `state`: asked (the server makes its files), reading, done."""

    id: int
    source: str
    base: str
    types: tuple[str, ...]
    since: str
    state: str
    mode: Mode
    status_url: str | None
    started: float
    finished: float | None
    fresh: int
    known: int
    passed_over: int
    problems: Mapping[str, int]


@dataclass
class Batch:
    """What reading some lines gave; added to the counts when it is durable."""

    lines: int = 0
    fresh: int = 0
    known: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)


class BackfillState:
    """The tables backfills and backfill_parts."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def unfinished(self, source: str, base: str, types: Sequence[str], since: str) -> Backfill | None:
        """The back-fill of just this that was begun and not ended."""
        same = and_(
            backfills.c.source == source,
            backfills.c.base == base,
            backfills.c.types == ",".join(types),
            backfills.c.since == since,
            backfills.c.state != "done",
        )
        with self._database.read() as connection:
            row = connection.execute(select(backfills).where(same).order_by(backfills.c.id.desc()).limit(1)).first()
        return _backfill(row) if row is not None else None

    def begin(self, source: str, base: str, types: Sequence[str], since: str) -> Backfill:
        """A new back-fill."""
        values = {
            "source": source,
            "base": base,
            "types": ",".join(types),
            "since": since,
            "state": "asked",
            "mode": "",
            "started": self._clock(),
            "fresh": 0,
            "known": 0,
            "passed_over": 0,
            "problems": "{}",
        }
        with self._database.write() as connection:
            made = self._database.insert(backfills).values(values).returning(backfills)
            return _backfill(connection.execute(made).one())

    def show(self, number: int) -> Backfill:
        """As it is now."""
        with self._database.read() as connection:
            return _backfill(connection.execute(select(backfills).where(backfills.c.id == number)).one())

    def latest(self, count: int = 10) -> list[Backfill]:
        """The latest ones, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(backfills).order_by(backfills.c.id.desc()).limit(count))
            return [_backfill(row) for row in rows]

    def asked(self, number: int, mode: Mode, status_url: str | None) -> None:
        """The server was asked for an export, or none can be had."""
        values = {"mode": mode, "status_url": status_url, "state": "asked"}
        with self._database.write() as connection:
            connection.execute(delete(backfill_parts).where(backfill_parts.c.backfill == number))
            connection.execute(update(backfills).where(backfills.c.id == number).values(**values))

    def reading(self, number: int, parts: Sequence[Part]) -> None:
        """What there is to read is known."""
        rows = [
            {
                "backfill": number,
                "number": part.number,
                "kind": part.kind,
                "resource_type": part.resource_type,
                "url": part.url,
                "with_login": int(part.with_login),
                "total": part.total,
                "lines": 0,
            }
            for part in parts
        ]
        with self._database.write() as connection:
            connection.execute(delete(backfill_parts).where(backfill_parts.c.backfill == number))
            if rows:
                connection.execute(backfill_parts.insert(), rows)
            connection.execute(update(backfills).where(backfills.c.id == number).values(state="reading"))

    def parts(self, number: int) -> list[Part]:
        """Everything that there is to read, finished or not."""
        mine = select(backfill_parts).where(backfill_parts.c.backfill == number).order_by(backfill_parts.c.number)
        with self._database.read() as connection:
            return [
                Part(
                    number=row.number,
                    kind=row.kind,
                    resource_type=row.resource_type,
                    url=row.url,
                    with_login=bool(row.with_login),
                    total=row.total,
                    lines=row.lines,
                    finished=row.finished is not None,
                )
                for row in connection.execute(mine)
            ]

    def add(
        self,
        number: int,
        part: Part,
        batch: Batch,
        *,
        url: str | None = None,
        through: bool = False,
        lines: int | None = None,
    ) -> None:
        """`batch` of `part` is in the inbox. `url`: where the part goes on; `lines`: so many of it are done in all."""
        mine = and_(backfill_parts.c.backfill == number, backfill_parts.c.number == part.number)
        values: dict[str, object] = {"lines": backfill_parts.c.lines + batch.lines if lines is None else lines}
        if url is not None:
            values["url"] = url
        if through:
            values["finished"] = self._clock()
        whole = backfills.c.id == number
        with self._database.write() as connection:
            connection.execute(update(backfill_parts).where(mine).values(**values))
            row = connection.execute(select(backfills).where(whole).with_for_update()).one()
            problems = Counter(json.loads(row.problems))
            for code, count in batch.passed_over.items():  # a server may make up codes without end
                problems[code if code in problems or len(problems) < MOST_CODES else "other"] += count
            counts = {
                "fresh": row.fresh + batch.fresh,
                "known": row.known + batch.known,
                "passed_over": row.passed_over + batch.passed_over.total(),
                "problems": json.dumps(problems, sort_keys=True),
            }
            connection.execute(update(backfills).where(whole).values(**counts))

    def done(self, number: int) -> None:
        """Everything is in the inbox."""
        with self._database.write() as connection:
            values = {"state": "done", "finished": self._clock(), "status_url": None}
            connection.execute(update(backfills).where(backfills.c.id == number).values(**values))

    def give_up(self, source: str) -> None:
        """What was begun for `source` and not ended is not gone on with."""
        with self._database.write() as connection:
            mine = and_(backfills.c.source == source, backfills.c.state != "done")
            connection.execute(update(backfills).where(mine).values(state="done", mode="left"))

    def hold(self, number: int, holder: str, seconds: float) -> bool:
        """Take or renew the right to work on it; False while another process has it."""
        now = self._clock()
        row = {"name": f"backfill:{number}", "holder": holder, "until": now + seconds}
        with self._database.write() as connection:
            free = or_(leases.c.holder == holder, leases.c.until < now)
            statement = self._database.insert(leases).values(row)
            taken = statement.on_conflict_do_update(index_elements=["name"], set_=row, where=free)
            return connection.execute(taken.returning(leases.c.name)).one_or_none() is not None

    def leave(self, number: int, holder: str) -> None:
        """Give the right back."""
        with self._database.write() as connection:
            mine = and_(leases.c.name == f"backfill:{number}", leases.c.holder == holder)
            connection.execute(leases.delete().where(mine))


def _backfill(row: object) -> Backfill:
    values = dict(row._mapping)  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's documented name
    values["types"] = tuple(values["types"].split(","))
    return Backfill(**{**values, "problems": json.loads(values["problems"])})
