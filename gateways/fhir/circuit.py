"""A circuit breaker per FHIR server, shared by every process through the database.

closed     calls are made; FAILURES failures in a row open it, and so does a 429 or 503 that says how long to wait
open       no call is made; the time grows with each opening in a row, from FIRST_SECONDS to LONGEST_SECONDS
half-open  the time is over: one caller probes, the others wait; success closes the circuit, failure opens it again

Work that waits for an open circuit has not failed: it spends no attempt (CircuitOpen; workers/outcomes.py).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update

from gateways.store.database import Database
from gateways.store.ehr_tables import circuits
from schemas.errors import CircuitOpen

FAILURES = 5
FIRST_SECONDS = 2.0
LONGEST_SECONDS = 10.0  # a call every ten seconds harms no server, and results are there soon after it is back
LONGEST_ASKED_SECONDS = 300.0  # a server may ask for more than we would wait by ourselves, up to this
PROBE_SECONDS = 90.0  # above the longest exchange: a prober that was killed is followed by another one
ASK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class CircuitState:
    """A circuit as an operator sees it. `state`: closed, open or half-open; times are seconds since 1970."""

    system: str
    state: str
    failures: int
    open_until: float | None
    code: str | None
    changed: float


class Circuit:
    """The circuit of one system."""

    def __init__(self, database: Database, system: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._system = system
        self._clock = clock
        self._troubled = False

    def enter(self) -> None:
        """Return where a call may be made now; raises CircuitOpen, with the seconds to wait, where not."""
        now = self._clock()
        with self._database.read() as connection:
            row = connection.execute(select(circuits).where(circuits.c.system == self._system)).one_or_none()
        self._troubled = row is not None and row.failures > 0
        if row is None or row.open_until is None:
            return
        if row.open_until > now:
            raise _open(row.open_until - now)
        mine = and_(
            circuits.c.system == self._system,
            circuits.c.open_until <= now,
            or_(circuits.c.probe_until.is_(None), circuits.c.probe_until <= now),
        )
        with self._database.write() as connection:
            probe = update(circuits).where(mine).values(probe_until=now + PROBE_SECONDS)
            if connection.execute(probe).rowcount != 1:
                raise _open(ASK_AGAIN_SECONDS)

    def succeeded(self) -> None:
        """The system answered. Costs nothing unless it had failed before."""
        if not self._troubled:
            return
        closed = {"failures": 0, "opened": 0, "open_until": None, "probe_until": None, "code": None}
        with self._database.write() as connection:
            mine = circuits.c.system == self._system
            connection.execute(update(circuits).where(mine).values(**closed, changed=self._clock()))
        self._troubled = False

    def failed(self, code: str, retry_after_s: float | None) -> float | None:
        """The system did not answer, or cannot (it asks for `retry_after_s`). Seconds for which the circuit is open
        now; None where it stays closed.
        """
        now = self._clock()
        self._troubled = True
        mine = circuits.c.system == self._system
        fresh = {"system": self._system, "failures": 0, "opened": 0, "changed": now}
        with self._database.write() as connection:
            connection.execute(self._database.insert(circuits).values(fresh).on_conflict_do_nothing())
            row = connection.execute(select(circuits).where(mine).with_for_update()).one()
            failures, opened, until = row.failures + 1, row.opened, row.open_until
            probed = until is not None and until <= now
            if (until is None and (failures >= FAILURES or retry_after_s is not None)) or probed:
                seconds = min(FIRST_SECONDS * 2.0**opened, LONGEST_SECONDS)
                until = now + max(seconds, min(retry_after_s or 0.0, LONGEST_ASKED_SECONDS))
                opened += 1
            values = {"failures": failures, "opened": opened, "open_until": until, "probe_until": None, "code": code}
            connection.execute(update(circuits).where(mine).values(**values, changed=now))
        return None if until is None else max(until - now, 0.0)


def circuit_states(database: Database, *, clock: Callable[[], float] = time.time) -> list[CircuitState]:
    """Every circuit that ever had a failure, by system."""
    now = clock()
    with database.read() as connection:
        rows = connection.execute(select(circuits).order_by(circuits.c.system)).all()
    return [
        CircuitState(
            system=row.system,
            state="closed" if row.open_until is None else "open" if row.open_until > now else "half-open",
            failures=row.failures,
            open_until=row.open_until,
            code=row.code,
            changed=row.changed,
        )
        for row in rows
    ]


def _open(seconds: float) -> CircuitOpen:
    return CircuitOpen(
        "the FHIR server failed lately and is left alone for a while; `vbq ehr status` says since when and why",
        retry_after_s=seconds,
    )
