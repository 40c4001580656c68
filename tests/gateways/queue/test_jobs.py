"""Jobs, on both databases: nothing that was asked for is lost, nothing is done twice at once."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateways.queue.inbox import HOLD_SECONDS
from gateways.queue.jobs import Job, Jobs
from gateways.store.database import Database
from schemas.errors import Superseded
from tests.databases import with_tables


@pytest.fixture
def jobs(database: Database, clock: Any) -> Jobs:
    return Jobs(database, clock=clock)


def bump(database: Database, jobs: Jobs, **options: float) -> int:
    with database.write() as connection:
        return jobs.bump(connection, "assess", "Patient/p1", "Patient/p1", **options)


def end(database: Database, jobs: Jobs, job: Job | None) -> bool:
    assert job is not None
    with database.write() as connection:
        return jobs.finish(connection, job)


def test_many_bumps_are_one_job_and_one_run(jobs: Jobs, database: Database) -> None:
    ids = {bump(database, jobs) for _ in range(5)}
    (row,) = ids
    assert end(database, jobs, jobs.claim(row)) is False
    assert jobs.claim(row) is None


def test_a_bump_while_it_runs_is_not_lost(jobs: Jobs, database: Database) -> None:
    row = bump(database, jobs)
    running = jobs.claim(row)
    assert jobs.claim(row) is None
    bump(database, jobs)
    assert end(database, jobs, running) is True
    again = jobs.claim(row)
    assert again is not None
    assert again.run == 2
    assert end(database, jobs, again) is False


def test_a_run_waits_until_it_is_quiet_but_not_for_ever(jobs: Jobs, database: Database, clock: Any) -> None:
    row = bump(database, jobs, quiet_seconds=1.0, longest_seconds=2.5)
    waited = 0.0
    while jobs.claim(row) is None:
        clock.pass_(0.5)
        waited += 0.5
        bump(database, jobs, quiet_seconds=1.0, longest_seconds=2.5)
    assert waited == 2.5


def test_a_stale_lease_cannot_commit_and_the_next_holder_knows(jobs: Jobs, database: Database, clock: Any) -> None:
    row = bump(database, jobs)
    stale = jobs.claim(row)
    clock.pass_(HOLD_SECONDS + 1)
    new = jobs.claim(row)
    assert new is not None
    assert new.lapsed
    with pytest.raises(Superseded):
        end(database, jobs, stale)
    assert stale is not None
    assert jobs.renew(stale) is False
    end(database, jobs, new)


def test_a_renewed_claim_holds(jobs: Jobs, database: Database, clock: Any) -> None:
    row = bump(database, jobs)
    job = jobs.claim(row)
    assert job is not None
    for _ in range(5):
        clock.pass_(HOLD_SECONDS - 1)
        assert jobs.renew(job)
        assert jobs.claim(row) is None
    end(database, jobs, job)


def test_a_dead_job_comes_back_with_a_bump_or_a_replay(jobs: Jobs, database: Database) -> None:
    row = bump(database, jobs)
    for revive in (lambda: bump(database, jobs), jobs.replay_dead):
        job = jobs.claim(row)
        assert job is not None
        with database.write() as connection:
            jobs.bury(connection, job, code="ehr-refused", text="why")
        (dead,) = jobs.dead()
        assert dead.reason_code == "ehr-refused"
        assert jobs.claim(row) is None
        revive()
        assert jobs.dead() == []
    assert jobs.claim(row) is not None


def test_a_job_buried_while_bumped_lives_on(jobs: Jobs, database: Database) -> None:
    row = bump(database, jobs)
    job = jobs.claim(row)
    assert job is not None
    bump(database, jobs)
    with database.write() as connection:
        jobs.bury(connection, job, code="x", text="y")
    assert jobs.claim(row) is not None


def test_a_failed_job_waits_and_counts_its_attempts(jobs: Jobs, database: Database, clock: Any) -> None:
    row = bump(database, jobs)
    for attempt in (1, 2, 3):
        job = jobs.claim(row)
        assert job is not None
        assert job.claim.attempts == attempt
        assert not job.lapsed
        with database.write() as connection:
            jobs.fail(connection, job, code="pacs-unavailable", text="why", delay_seconds=4)
        assert jobs.claim(row) is None
        clock.pass_(4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["bump", "claim", "finish", "fail", "bury", "lapse"]), max_size=30))
def test_whatever_happens_the_last_finished_run_saw_every_bump(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The law that makes a recomputation safe: once nothing is open, done = wanted, or the job is dead."""
    database = with_tables(f"sqlite:///{tmp_path_factory.mktemp('law')}/law.sqlite3")
    moment = [0.0]
    jobs = Jobs(database, clock=lambda: moment[0])
    row, held, bumps, seen = bump(database, jobs), None, 1, 0
    for step in [*steps, "lapse", "claim", "finish", "claim", "finish"]:
        moment[0] += 1.0
        if step == "bump":
            bump(database, jobs)
            bumps += 1
        elif step == "lapse":
            moment[0] += HOLD_SECONDS + 1
        elif step == "claim":
            held = jobs.claim(row) or held
        elif held is not None:
            try:
                with database.write() as connection:
                    if step == "finish":
                        jobs.finish(connection, held)
                        assert held.run > seen, "runs only grow"
                        seen = held.run
                    elif step == "fail":
                        jobs.fail(connection, held, code="x", text="y", delay_seconds=0)
                    else:
                        jobs.bury(connection, held, code="x", text="y")
            except Superseded:
                pass
            held = None
    with database.read() as connection:
        open_or_dead = jobs.unfinished(connection, "assess")
    database.close()
    assert open_or_dead or seen == bumps


def test_a_call_that_came_twice_takes_the_work_that_waits_longest(database: Database) -> None:
    moment = [1e9]
    jobs = Jobs(database, clock=lambda: moment[0])
    rows = []
    for kind, patient in (("assess", "a"), ("publish", "b"), ("assess", "c"), ("assess", "d")):
        with database.write() as connection:
            rows.append(jobs.bump(connection, kind, patient, patient))
        moment[0] += 1
    first = jobs.claim(rows[2], else_kind="assess")
    again = jobs.claim(rows[2], else_kind="assess")
    then = jobs.claim(rows[2], else_kind="assess")
    assert first is not None
    assert again is not None
    assert then is not None
    assert [first.subject, again.subject, then.subject] == ["c", "a", "d"]
    assert jobs.claim(rows[2], else_kind="assess") is None
    assert jobs.claim(rows[2]) is None


def test_an_attempt_that_is_spared_does_not_count(jobs: Jobs, database: Database, clock: Any) -> None:
    row = bump(database, jobs)
    for spared, attempts in ((False, 1), (True, 2), (True, 2), (False, 2)):
        clock.pass_(10)
        job = jobs.claim(row)
        assert job is not None
        assert job.claim.attempts == attempts
        with database.write() as connection:
            jobs.fail(connection, job, code="away", text="away", delay_seconds=5, spared=spared)


def test_what_is_due_of_a_kind_is_put_off_together(jobs: Jobs, database: Database, clock: Any) -> None:
    with database.write() as connection:
        rows = [jobs.bump(connection, "publish", f"Patient/p{n}", f"Patient/p{n}") for n in range(40)]
        other = jobs.bump(connection, "assess", "Patient/p1", "Patient/p1")
    held = jobs.claim(rows[0])
    assert held is not None
    with database.write() as connection:
        jobs.put_off(connection, "publish", delay_seconds=10)
    assert jobs.claim(rows[1]) is None
    assert jobs.claim(other) is not None
    clock.pass_(9.9)
    assert not [row for row in rows[1:] if jobs.claim(row) is not None]
    clock.pass_(2.7)
    assert len([row for row in rows[1:] if jobs.claim(row) is not None]) == 39
    with database.write() as connection:
        jobs.finish(connection, held)  # what is at work is left alone
