"""What the sweeper finds: work of the dead, and work that nobody waits for when there is nothing else."""

import subprocess
import sys
from typing import Any

import pytest

from gateways.queue import holders
from gateways.queue.inbox import Inbox
from gateways.queue.jobs import LONGEST_IDLE_WAIT_SECONDS, Job, Jobs
from gateways.queue.wakeups import QUIET_SECONDS, Wakeups
from gateways.store.database import Database
from gateways.store.tables import inbox as rows
from tests.stack import ROOT

CLAIMANT = """
import sys, time
from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from gateways.store.database import Database

database = Database(sys.argv[1])
assert Jobs(database).claim(int(sys.argv[2])) is not None
assert Inbox(database).claim()
print("claimed", flush=True)
time.sleep(60)
"""


def test_a_process_is_dead_when_it_has_gone_or_another_one_has_its_number() -> None:
    me = holders.own()
    assert me is not None
    assert not holders.is_dead(me)
    assert not holders.is_dead(f"{me}/second sweeper of this process")
    place, pid, start = me.split(":")
    assert holders.is_dead(f"{place}:{pid}:{int(start) - 1}"), "its number was used again"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert holders.is_dead(f"{place}:{gone.pid}:{start}")


@pytest.mark.parametrize("holder", ["", "x", "a:b:c:d", "elsewhere.1:1:1", "::", "{place}:x:1", "{place}:-1:1"])
def test_of_a_process_elsewhere_nothing_is_said(holder: str) -> None:
    assert not holders.is_dead(holder.format(place=holders.machine()))


def test_what_a_killed_process_held_is_due_at_once_and_what_a_living_one_holds_is_not(
    database: Database, event: Any
) -> None:
    jobs, inbox, wakeups = Jobs(database), Inbox(database), Wakeups(database)
    inbox.accept([event("Observation/o1")])
    with database.write() as connection:
        theirs, mine = (jobs.bump(connection, "assess", f"Patient/{n}", f"Patient/{n}") for n in range(2))
    held = jobs.claim(mine)
    assert held is not None
    url = database._engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", CLAIMANT, url, str(theirs)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        assert wakeups.free_dead() == 0
        assert jobs.claim(theirs) is None
        other.kill()
    assert wakeups.free_dead() == 2
    assert wakeups.free_dead() == 0
    again = jobs.claim(theirs)
    assert again is not None
    assert again.lapsed, "the attempt of the dead one counts"
    assert again.claim.attempts == 2
    assert [row.claim.attempts for row in inbox.claim()] == [2]
    assert jobs.renew(held)
    inbox.close()


def test_the_lease_of_a_dead_sweeper_is_free_at_once(database: Database) -> None:
    wakeups = Wakeups(database)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert wakeups.lead(f"{holders.machine()}:{gone.pid}:1/1", seconds=60)
    assert wakeups.lead(f"{holders.own()}/1", seconds=60)
    assert not wakeups.lead(f"{holders.own()}/2", seconds=60)


def measured(database: Database, jobs: Jobs, name: str = "s") -> int:
    """A job whose next run nobody waits for."""
    with database.write() as connection:
        row = jobs.bump(connection, "measure", name, "Patient/p")
    job = claimed(jobs, row)
    with database.write() as connection:
        jobs.again_when_idle(connection, job)
        assert jobs.finish(connection, job)
    return row


def claimed(jobs: Jobs, row: int) -> Job:
    job = jobs.claim(row)
    assert job is not None
    return job


def test_a_run_that_nobody_waits_for_begins_when_nothing_else_is_to_be_done(
    database: Database, clock: Any, event: Any
) -> None:
    jobs, inbox, wakeups = (kind(database, clock=clock) for kind in (Jobs, Inbox, Wakeups))
    row = measured(database, jobs)
    with database.read() as connection:
        assert jobs.ended_well(connection, "measure", "s")
        assert not jobs.open(connection, "measure", "Patient/p")
        assert jobs.unfinished(connection, "measure") == []
    inbox.accept([event("Observation/o1")])
    clock.pass_(QUIET_SECONDS + 1)
    assert {kind for kind, _ in wakeups.due()} == {"event"}
    (at_work,) = inbox.claim()
    assert wakeups.due() == [], "somebody is at work"
    with database.write() as connection:
        inbox.finish(connection, at_work.claim)
        assess = jobs.bump(connection, "assess", "Patient/p", "Patient/p", quiet_seconds=1.0, longest_seconds=1.0)
    assert wakeups.due() == [], "something is due soon"
    clock.pass_(1.0)
    assert wakeups.due() == [("assess", assess)]
    other = claimed(jobs, assess)
    assert jobs.claim(row, else_kind="measure") is None
    with database.write() as connection:
        jobs.finish(connection, other)
    second = measured(database, jobs, "t")
    assert wakeups.due() == [], "somebody was at work a moment ago: more may follow"
    clock.pass_(QUIET_SECONDS)
    assert wakeups.due() == [("measure", row)]
    assert wakeups.due() == [], "one at a time: the next when this one is at work"
    job = claimed(jobs, row)
    assert wakeups.due() == [("measure", second)], "another worker may have the next one"
    with database.write() as connection:
        assert not jobs.finish(connection, job)
    assert not claimed(jobs, second).lapsed
    inbox.close()


def test_a_flow_that_never_ends_does_not_starve_it(database: Database, clock: Any, event: Any) -> None:
    jobs, inbox, wakeups = (kind(database, clock=clock) for kind in (Jobs, Inbox, Wakeups))
    row, waited = measured(database, jobs), 0
    while waited < LONGEST_IDLE_WAIT_SECONDS:
        inbox.accept([event(f"Observation/o{waited}")])
        with database.write() as connection:
            connection.execute(rows.update().values(state="done"))
        assert wakeups.due() == []
        clock.pass_(60)
        waited += 60
    assert wakeups.due() == [("measure", row)]
    inbox.close()


def test_a_reason_that_somebody_waits_for_makes_it_due_now(database: Database, clock: Any) -> None:
    jobs = Jobs(database, clock=clock)
    row = measured(database, jobs)
    assert jobs.claim(row) is None
    with database.write() as connection:
        jobs.bump(connection, "measure", "s", "Patient/p")
    job = claimed(jobs, row)
    with database.write() as connection:  # while it runs somebody asks again: no less is then owed
        jobs.bump(connection, "measure", "s", "Patient/p")
        jobs.again_when_idle(connection, job)
        assert jobs.finish(connection, job)
    again = claimed(jobs, row)
    with database.write() as connection:
        jobs.fail(connection, again, code="x", text="x", delay_seconds=1.0)
    clock.pass_(1.0)
    last = claimed(jobs, row)
    with database.write() as connection:
        jobs.again_when_idle(connection, last)
    clock.pass_(3600)
    taken = claimed(jobs, row)
    with database.write() as connection:
        jobs.again_when_idle(connection, last)  # no longer its own: nothing is asked for
        jobs.finish(connection, taken)
    assert jobs.claim(row) is None
