"""Jobs: what is to be done for a study or a patient, one row per (kind, subject), however many events ask for it."""

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Connection, and_, case, not_, or_, select, update

from gateways.queue import holders
from gateways.queue.inbox import HOLD_SECONDS, Claim, Clock
from gateways.store.database import Database
from gateways.store.tables import OPEN_JOBS, jobs
from schemas.errors import Superseded

SPREAD = 16
LONGEST_IDLE_WAIT_SECONDS = 600.0
AWAITED = not_(jobs.c.when_idle)
Kind = Literal["measure", "assess", "publish", "fetch"]


@dataclass(frozen=True)
class Job:
    """A claimed job. `run` is how many reasons to run this run answers; `lapsed`: the last holder's lease ran out."""

    claim: Claim
    kind: Kind
    subject: str
    patient: str
    run: int
    lapsed: bool


@dataclass(frozen=True)
class JobRow:
    """A job as an operator sees it. Times are seconds since 1970."""

    id: int
    kind: str
    subject: str
    state: str
    attempts: int
    due_at: float
    reason_code: str | None
    reason_text: str | None


class Jobs:
    """Asking for jobs, claiming and finishing them."""

    def __init__(self, database: Database, *, lease_seconds: float = HOLD_SECONDS, clock: Clock = time.time) -> None:
        self._database = database
        self._hold_seconds = lease_seconds
        self._clock = clock

    def bump(
        self,
        connection: Connection,
        kind: Kind,
        subject: str,
        patient: str,
        *,
        quiet_seconds: float = 0.0,
        longest_seconds: float = 0.0,
    ) -> int:
        """Ask for a run that begins after this transaction; returns the job's id.

        The run waits for `quiet_seconds` without another bump, but never longer than `longest_seconds` in all.
        A job that is running runs again; a dead one comes back, since a new input may be what it lacked.
        """
        now = self._clock()
        first = case((jobs.c.state.in_(("idle", "dead")), now), else_=jobs.c.first_wanted)
        due_at = case(
            (first + longest_seconds < now + quiet_seconds, first + longest_seconds), else_=now + quiet_seconds
        )
        row = {
            "kind": kind,
            "subject": subject,
            "patient": patient,
            "wanted": 1,
            "done": 0,
            "state": "due",
            "attempts": 0,
            "first_wanted": now,
            "due_at": now + min(quiet_seconds, longest_seconds) if longest_seconds else now + quiet_seconds,
            # A fetch's row is deleted when it is done: another one, under the same id, must not have its tokens.
            "lease_token": int(now * 1000) if kind == "fetch" else 0,
        }
        again = {
            "patient": patient,
            "wanted": jobs.c.wanted + 1,
            "state": case((jobs.c.state == "running", "running"), else_="due"),
            "attempts": case((jobs.c.state == "running", jobs.c.attempts), else_=0),
            "first_wanted": first,
            "due_at": due_at,
            "woken_at": None,
            "when_idle": False,
        }
        statement = self._database.insert(jobs).values(row)
        bumped = statement.on_conflict_do_update(index_elements=["kind", "subject"], set_=again).returning(jobs.c.id)
        return int(connection.execute(bumped).scalar_one())

    def claim(self, job: int, *, else_kind: Kind | None = None) -> Job | None:
        """Lease `job` if it is due, or its holder's lease has run out; None if there is nothing to do now.

        `else_kind`: where `job` needs nothing now, the job of that kind that is due for longest. A wake-up call that
        came twice is then of use, and in a backlog the oldest work is done whatever the order of the calls.
        """
        now = self._clock()
        free = or_(
            and_(jobs.c.state == "due", jobs.c.due_at <= now),
            and_(jobs.c.state == "running", jobs.c.lease_until < now),
        )
        with self._database.write() as connection:
            due = select(jobs).where(OPEN_JOBS, free).with_for_update(skip_locked=True)
            row = connection.execute(due.where(jobs.c.id == job)).one_or_none()
            if row is None and else_kind is not None:
                oldest = due.where(jobs.c.kind == else_kind).order_by(jobs.c.due_at).limit(1)
                row = connection.execute(oldest).one_or_none()
            if row is None:
                return None
            claim = Claim(
                id=row.id, token=row.lease_token + 1, attempts=row.attempts + 1, until=now + self._hold_seconds
            )
            connection.execute(
                update(jobs)
                .where(jobs.c.id == row.id)
                .values(
                    state="running",
                    attempts=claim.attempts,
                    lease_until=claim.until,
                    lease_token=claim.token,
                    holder=holders.own(),
                    first_wanted=now,  # bumps from here on are debounced anew
                )
            )
        lapsed = row.state == "running"
        return Job(claim, cast("Kind", row.kind), row.subject, row.patient, run=row.wanted, lapsed=lapsed)

    def again_when_idle(self, connection: Connection, job: Job) -> None:
        """Run `job`, which is at work, once more for something that nobody waits for: when nothing else is to be done,
        or after LONGEST_IDLE_WAIT_SECONDS. Nothing is asked for where another run is wanted anyway.
        """
        later = {"wanted": job.run + 1, "when_idle": True, "due_at": self._clock() + LONGEST_IDLE_WAIT_SECONDS}
        connection.execute(update(jobs).where(_mine(job), jobs.c.wanted == job.run).values(later))

    def finish(self, connection: Connection, job: Job) -> bool:
        """The run's effect is written in this transaction; returns whether another run is wanted already.

        Raises Superseded if the lease was lost: the caller's transaction is then rolled back, effect and all.
        """
        more = jobs.c.wanted > job.run
        state = case((more, "due"), else_="idle")
        idle = case((more, jobs.c.when_idle), else_=False)
        ended = {"done": job.run, "attempts": 0, "reason_code": None, "reason_text": None}
        self._settle(connection, job, state=state, when_idle=idle, **ended)
        return bool(connection.scalar(select(more).where(jobs.c.id == job.claim.id)))

    def finish_and_forget(self, connection: Connection, job: Job) -> bool:
        """As finish, and nothing is left of the job unless another run is wanted: for what is asked for only once."""
        more = self.finish(connection, job)
        connection.execute(jobs.delete().where(jobs.c.id == job.claim.id, jobs.c.state == "idle"))
        return more

    def fail(
        self, connection: Connection, job: Job, *, code: str, text: str, delay_seconds: float, spared: bool = False
    ) -> None:
        """Try again after `delay_seconds`; a bump makes it sooner. `spared`: this attempt does not count."""
        due_at = self._clock() + delay_seconds
        attempts = jobs.c.attempts - 1 if spared else jobs.c.attempts
        values = {"attempts": attempts, "reason_code": code, "reason_text": text, "due_at": due_at}
        self._settle(connection, job, state="due", when_idle=False, **values)

    def put_off(self, connection: Connection, kind: Kind, *, delay_seconds: float) -> None:
        """What is due of `kind` waits as well, each a little longer than the one before (a quarter of it at most)."""
        now = self._clock()
        due = and_(OPEN_JOBS, jobs.c.kind == kind, jobs.c.state == "due", jobs.c.due_at <= now)
        spread = (jobs.c.id % SPREAD) * (delay_seconds / (4 * SPREAD))
        connection.execute(update(jobs).where(due).values(due_at=now + delay_seconds + spread, woken_at=None))

    def bury(self, connection: Connection, job: Job, *, code: str, text: str) -> None:
        """Dead, with the reason; a bump or a replay brings it back. If one came while it ran, it runs again."""
        state = case((jobs.c.wanted > job.run, "due"), else_="dead")
        attempts = case((jobs.c.wanted > job.run, 0), else_=jobs.c.attempts)
        why = {"reason_code": code, "reason_text": text}
        self._settle(connection, job, state=state, attempts=attempts, when_idle=False, **why)

    def renew(self, job: Job) -> bool:
        """Hold the claim for another while; False if it was lost."""
        until = self._clock() + self._hold_seconds
        with self._database.write() as connection:
            return connection.execute(update(jobs).where(_mine(job)).values(lease_until=until)).rowcount == 1

    def hold(self, connection: Connection, job: Job) -> None:
        """Raise Superseded unless the lease is still ours; keeps other claims out until the transaction ends."""
        statement = select(jobs.c.id).where(_mine(job)).with_for_update()
        if connection.execute(statement).one_or_none() is None:
            raise _lost(job)

    def open(self, connection: Connection, kind: Kind, patient: str) -> bool:
        """Whether a job of `kind` for `patient` is due or at work, and somebody waits for it."""
        at_work = and_(jobs.c.state.in_(("due", "running")), AWAITED)
        found = and_(OPEN_JOBS, jobs.c.kind == kind, jobs.c.patient == patient, at_work)
        return connection.execute(select(jobs.c.id).where(found).limit(1)).one_or_none() is not None

    def unfinished(self, connection: Connection, kind: Kind, patient: str | None = None) -> list[str]:
        """Subjects of the jobs of `kind` that are due, at work or dead, and that somebody waits for."""
        found = select(jobs.c.subject).where(OPEN_JOBS, jobs.c.kind == kind, AWAITED)
        return list(connection.scalars(found if patient is None else found.where(jobs.c.patient == patient)))

    def ended_well(self, connection: Connection, kind: Kind, subject: str) -> bool:
        """Whether the job ran, and its last run ended well (another one may follow that nobody waits for)."""
        ended = or_(jobs.c.state == "idle", jobs.c.when_idle)
        found = and_(jobs.c.kind == kind, jobs.c.subject == subject, ended, jobs.c.done > 0)
        return connection.execute(select(jobs.c.id).where(found)).one_or_none() is not None

    def dead(self, *, count: int = 50) -> list[JobRow]:
        """Jobs that gave up, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(jobs).where(OPEN_JOBS, jobs.c.state == "dead").order_by(jobs.c.id.desc()).limit(count)
            )
            return [
                JobRow(r.id, r.kind, r.subject, r.state, r.attempts, r.due_at, r.reason_code, r.reason_text)
                for r in rows
            ]

    def replay_dead(self) -> list[int]:
        """Make every dead job due again; returns the ids."""
        again = {"state": "due", "attempts": 0, "due_at": self._clock(), "woken_at": None}
        with self._database.write() as connection:
            changed = update(jobs).where(OPEN_JOBS, jobs.c.state == "dead").values(**again).returning(jobs.c.id)
            return sorted(connection.scalars(changed))

    def _settle(self, connection: Connection, job: Job, **values: Any) -> None:
        changed = connection.execute(
            update(jobs).where(_mine(job)).values(lease_until=None, holder=None, woken_at=None, **values)
        )
        if changed.rowcount != 1:
            raise _lost(job)


def _mine(job: Job) -> Any:
    return and_(jobs.c.id == job.claim.id, jobs.c.lease_token == job.claim.token, jobs.c.state == "running")


def _lost(job: Job) -> Superseded:
    return Superseded(f"job {job.claim.id} was taken over by another worker; nothing was written")
