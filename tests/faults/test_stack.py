"""`vbq up` for real, with its own Redis: one life from the first event to kill -9, with a restart nobody notices.

What happens when each part is broken under load: tests/faults/test_invariants.py.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateways.queue.inbox import Inbox
from gateways.store.database import Database
from tests import records

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
CANARY = "Canary-Quetzal"


def reach(small_study: Path, patient_id: str) -> dict[str, Any]:
    """Everything of one patient, in a Bundle."""
    study = records.imaging_study(patient_id, address=records.file_url(small_study))
    person = records.patient(patient_id, name=[{"family": CANARY}])
    return records.bundle(person, study, records.t_score(patient_id))


def prepare(stack: Any, small_study: Path) -> None:
    stack.environment["VBQ_STUDY_ROOTS"] = json.dumps([str(small_study.parent)])


def risk(stack: Any, patient_id: str) -> list[dict[str, Any]]:
    status, found = stack.call("GET", f"/fhir/RiskAssessment?patient=Patient/{patient_id}")
    assert status == 200
    return [row["resource"] for row in found.get("entry", [])]


def final(stack: Any, patient_id: str) -> dict[str, Any] | None:
    return next((row for row in risk(stack, patient_id) if row["status"] == "final"), None)


def until(probe: Any, seconds: float) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := probe():
            return found
        time.sleep(0.05)
    pytest.fail(f"did not happen within {seconds} s")


class Caller(threading.Thread):
    """Some 50 calls a second, each over a connection of its own: events that are new, and reads."""

    def __init__(self, stack: Any) -> None:
        super().__init__(daemon=True)
        self.answers: list[int] = []
        self._stack = stack
        self._ended = threading.Event()

    def run(self) -> None:
        for number in itertools.count():
            if self._ended.wait(0.02):
                return
            try:
                if number % 5:
                    status, _ = self._stack.call("GET", "/fhir/RiskAssessment?patient=Patient/a")
                else:
                    status, _ = self._stack.call("POST", "/events", records.patient(f"caller-{number}"))
            except OSError:
                status = 0
            self.answers.append(status)

    def stop(self) -> None:
        self._ended.set()
        self.join(30)


def stats(stack: Any) -> dict[str, float | int]:
    """As `vbq events stats` says, without a process for each look."""
    database = Database(f"sqlite:///{stack.data_dir / 'vbq.sqlite3'}")
    try:
        return Inbox(database).stats()
    finally:
        database.close()


def vbq(stack: Any, *arguments: str) -> Any:
    environment = {**os.environ, "VBQ_DATA_DIR": str(stack.data_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "commands", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_one_life_of_a_stack(own_stack: Any, small_study: Path) -> None:
    """One stack for all that needs no fault of its own: starting it costs seconds."""
    stack = own_stack
    prepare(stack, small_study)
    stack.start()

    # an event becomes a risk, once, and a repeat changes nothing
    status, _ = stack.call("POST", "/events", reach(small_study, "a"))
    assert status == 202
    found = until(lambda: final(stack, "a"), 30)
    assert found["prediction"][0]["probabilityDecimal"] > 0
    status, _ = stack.call("POST", "/events", reach(small_study, "a"))
    assert status == 200
    until(lambda: stats(stack)["pending"] == 0, 60)
    assert vbq(stack, "events", "stats", "--json") | {"oldest_pending_seconds": 0} == {
        "accepted": 3,
        "done": 3,
        "dead": 0,
        "pending": 0,
        "oldest_pending_seconds": 0,
        "jobs_pending": 0,
        "jobs_dead": 0,
    }

    # a second instance on the same directory, or on the same port, is refused in words
    for directory, words in ((stack.data_dir, "another `vbq up`"), (stack.data_dir.parent / "other", "cannot be had")):
        environment = {**os.environ, "VBQ_DATA_DIR": str(directory), "VBQ_PORT": str(stack.port)}
        second = subprocess.run(
            [sys.executable, "-m", "commands", "up"], env=environment, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert words in second.stderr

    # Redis dies with everything in it while events come in: seconds are lost, nothing else
    for pid in stack.children("redis-server"):
        os.kill(pid, signal.SIGKILL)
    status, _ = stack.call("POST", "/events", reach(small_study, "b"))
    assert status == 202, "an event is accepted without a broker"
    until(lambda: final(stack, "b"), 60)

    # SIGHUP: new processes in the place of the old ones, and nobody notices
    before = {words: set(stack.children(words)) for words in ("granian", "workers work", "workers sweep")}
    caller = Caller(stack)
    caller.start()
    until(lambda: caller.answers, 30)
    stack.process.send_signal(signal.SIGHUP)
    for words, pids in before.items():
        until(lambda words=words, pids=pids: set(stack.children(words)) - pids, 60)
    for words, pids in before.items():
        until(lambda words=words, pids=pids: not pids & set(stack.children(words)), 120)
    stack.call("POST", "/events", reach(small_study, "c"))
    until(lambda: final(stack, "c"), 60)
    caller.stop()
    assert len(caller.answers) > 50
    assert set(caller.answers) <= {200, 202}, "a call failed while the processes were replaced"

    # what was accepted in all that time was finished
    until(lambda: stats(stack)["pending"] == 0, 60)
    left = stats(stack)
    assert left["dead"] == 0
    assert left["accepted"] == 9 + caller.answers.count(202)

    # nothing about a patient in the logs
    assert CANARY not in stack.log
    assert "1959-12-04" not in stack.log

    # kill -9 of the supervisor leaves nobody behind on its port
    everybody = stack.children("")
    stack.kill()
    until(lambda: not [pid for pid in everybody if Path(f"/proc/{pid}/cmdline").exists() and _lives(pid)], 60)
    with socket.create_server(("127.0.0.1", stack.port)):  # the start after it: tests/faults/storm.py
        pass


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
