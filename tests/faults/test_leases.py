"""Invariant 7 by itself: whoever lost his lease commits nothing, whether he was frozen or his clock is wrong."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateways.queue.jobs import Job, Jobs
from gateways.store.database import Database
from gateways.store.tables import leases
from schemas.errors import Superseded
from tests.databases import with_tables
from tests.stack import ROOT, wait_until

HOLD_SECONDS = 1.0

FROZEN = """
import os, signal, sys
from gateways.store.database import Database
from gateways.queue.jobs import Jobs
from gateways.store.tables import leases
from schemas.errors import Superseded

database = Database(sys.argv[1])
jobs = Jobs(database, lease_seconds=float(sys.argv[3]))
job = jobs.claim(int(sys.argv[2]))
print("claimed", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
try:
    with database.write() as connection:
        connection.execute(leases.insert().values(name="effect of the frozen one", holder="frozen", until=0))
        jobs.finish(connection, job)
except Superseded:
    print("superseded", flush=True)
else:
    print("committed", flush=True)
"""


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def url_of(database: Database) -> str:
    return database._engine.url.render_as_string(hide_password=False)


def test_invariant_07_a_process_that_was_stopped_past_its_lease_commits_nothing(database: Database) -> None:
    """SIGSTOP with the claim in hand, another worker takes over and finishes, SIGCONT."""
    jobs = Jobs(database, lease_seconds=HOLD_SECONDS)
    with database.write() as connection:
        row = jobs.bump(connection, "assess", "Patient/p", "Patient/p")
    command = [sys.executable, "-c", FROZEN, url_of(database), str(row), str(HOLD_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as frozen:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == "claimed\n"
        wait_until(lambda: stopped(frozen.pid), 10, "the stop")
        taken = wait_until(lambda: jobs.claim(row), 10, "the take-over")
        assert taken.lapsed
        with database.write() as connection:
            connection.execute(leases.insert().values(name="effect", holder="second", until=0))
            jobs.finish(connection, taken)
        os.kill(frozen.pid, signal.SIGCONT)
        assert frozen.stdout.readline() == "superseded\n"
    with database.read() as connection:
        assert list(connection.scalars(leases.select().with_only_columns(leases.c.holder))) == ["second"]


def test_a_worker_that_keeps_renewing_is_not_taken_over(database: Database) -> None:
    jobs = Jobs(database, lease_seconds=HOLD_SECONDS)
    with database.write() as connection:
        row = jobs.bump(connection, "assess", "Patient/p", "Patient/p")
    mine = jobs.claim(row)
    assert mine is not None
    until = time.monotonic() + 2.5 * HOLD_SECONDS
    while time.monotonic() < until:
        assert jobs.renew(mine)
        assert jobs.claim(row) is None
        time.sleep(HOLD_SECONDS / 5)
    with database.write() as connection:
        jobs.finish(connection, mine)


Step = tuple[int, str, float]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["claim", "finish", "fail", "renew", "bump"]),
        st.floats(-3600, 3600),  # how far the worker's clock jumps before the step
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def one_database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return with_tables(f"sqlite:///{tmp_path_factory.mktemp('clocks') / 'test.sqlite3'}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_clocks_do_each_claim_ends_once_and_no_reason_is_lost(
    one_database: Database, steps: list[Step]
) -> None:
    """Three workers whose clocks jump by up to an hour, back and forth, at each step."""
    clocks, subject = [0.0, 0.0, 0.0], uuid.uuid4()
    workers = [Jobs(one_database, lease_seconds=HOLD_SECONDS, clock=lambda n=n: 1e9 + clocks[n]) for n in range(3)]
    with one_database.write() as connection:
        row = workers[0].bump(connection, "assess", str(subject), "Patient/p")
    held: dict[int, Job] = {}
    ended: list[int] = []
    wanted = 1
    for worker, step, jump in steps:
        clocks[worker] += jump
        jobs = workers[worker]
        if step == "bump":
            with one_database.write() as connection:
                jobs.bump(connection, "assess", str(subject), "Patient/p")
            wanted += 1
        elif step == "claim":
            if (found := jobs.claim(row)) is not None:
                held[worker] = found
        elif worker in held:
            mine = held[worker]
            newest = max(job.claim.token for job in held.values())
            try:
                if step == "renew":
                    assert not jobs.renew(mine) or mine.claim.token == newest
                    continue
                with one_database.write() as connection:
                    if step == "finish":
                        jobs.finish(connection, mine)
                    else:
                        jobs.fail(connection, mine, code="x", text="x", delay_seconds=0.0)
            except Superseded:
                continue
            assert mine.claim.token == newest, "a stale token committed"
            assert mine.claim.token not in ended, "a claim ended twice"
            ended.append(mine.claim.token)
    # once clocks are right again, one more run sees every reason
    late = Jobs(one_database, lease_seconds=HOLD_SECONDS, clock=lambda: 1e9 + 10**7)
    last = late.claim(row)
    if last is not None:
        assert last.run == wanted
        with one_database.write() as connection:
            assert not late.finish(connection, last)
    assert late.claim(row) is None
