"""How far the reconciliation polls are: per sender and type the server's time up to which all is in the inbox."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select, update

from gateways.store.database import Database
from gateways.store.ehr_tables import watermarks
from gateways.store.tables import leases

LEASE = "reconcile"


@dataclass(frozen=True)
class Watermark:
    """One as an operator sees it. Times are seconds since 1970; `code`: why the last poll did not end well."""

    source: str
    resource_type: str
    seen_until: float
    polled_at: float | None
    code: str | None


class Watermarks:
    """Reading and moving them, and the lease that keeps two processes from polling at once."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def lead(self, holder: str, seconds: float) -> bool:
        """Take or renew the right to poll; False while another holder has it."""
        now = self._clock()
        row = {"name": LEASE, "holder": holder, "until": now + seconds}
        with self._database.write() as connection:
            free = or_(leases.c.holder == holder, leases.c.until < now)
            statement = self._database.insert(leases).values(row)
            taken = statement.on_conflict_do_update(index_elements=["name"], set_=row, where=free)
            return connection.execute(taken.returning(leases.c.name)).one_or_none() is not None

    def leave(self, holder: str) -> None:
        """Give the right back."""
        with self._database.write() as connection:
            connection.execute(leases.delete().where(leases.c.name == LEASE, leases.c.holder == holder))

    def seen_until(self, source: str, resource_type: str) -> float:
        """The watermark; set to now where there is none yet (what was there before is a back-fill's)."""
        row = {"source": source, "resource_type": resource_type, "seen_until": self._clock()}
        with self._database.write() as connection:
            connection.execute(self._database.insert(watermarks).values(row).on_conflict_do_nothing())
            return float(
                connection.execute(select(watermarks.c.seen_until).where(_key(source, resource_type))).scalar_one()
            )

    def move(self, source: str, resource_type: str, seen_until: float, *, through: bool) -> None:
        """Everything up to `seen_until` is durable in the inbox; never backwards. `through`: the poll ended well."""
        now = self._clock()
        mine = _key(source, resource_type)
        with self._database.write() as connection:
            forward = and_(mine, watermarks.c.seen_until < seen_until)
            connection.execute(update(watermarks).where(forward).values(seen_until=seen_until))
            if through:
                connection.execute(update(watermarks).where(mine).values(polled_at=now, code=None))

    def failed(self, source: str, resource_type: str, code: str) -> None:
        """The poll did not come to its end."""
        with self._database.write() as connection:
            connection.execute(update(watermarks).where(_key(source, resource_type)).values(code=code))

    def polled_at(self, source: str, resource_type: str) -> float:
        """When a poll last ended well; 0 where none did yet."""
        statement = select(watermarks.c.polled_at).where(_key(source, resource_type))
        with self._database.read() as connection:
            return float(connection.scalar(statement) or 0.0)

    def all(self) -> list[Watermark]:
        """Every watermark, by sender and type."""
        with self._database.read() as connection:
            rows = connection.execute(select(watermarks).order_by(watermarks.c.source, watermarks.c.resource_type))
            return [Watermark(r.source, r.resource_type, r.seen_until, r.polled_at, r.code) for r in rows]


def _key(source: str, resource_type: str) -> ColumnElement[bool]:
    return and_(watermarks.c.source == source, watermarks.c.resource_type == resource_type)
