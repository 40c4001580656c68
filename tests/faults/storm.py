"""A storm: events flow in while one part after the other is broken. What was seen of it is judged afterwards."""

import contextlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from schemas.errors import StoreUnavailable
from tests import records
from tests.stack import wait_until
from tests.stage import Stage, lives

CANARY = "quetzal"
"""In every name and id of a patient, so that it can be looked for."""
FLOWING = [f"{CANARY}-{number}" for number in range(5)]
PAUSE_SECONDS = 0.25
FLOW_SECONDS = 0.5
SOON_SECONDS = 150.0


@dataclass(frozen=True)
class Answer:
    """What a sender heard: `status` 0 where it heard nothing."""

    status: int
    retry_after: str | None
    receipts: tuple[tuple[int, str, str], ...] = ()


@dataclass
class Aftermath:
    """Everything that was seen."""

    accepted: list[tuple[int, str, str]] = field(default_factory=list)
    """(event, resource, version) of each receipt that came with a 2xx."""
    answers: list[Answer] = field(default_factory=list)
    latest: dict[str, float] = field(default_factory=dict)
    """For each patient the T-score that was accepted last."""
    recovery: dict[str, float] = field(default_factory=dict)
    """Seconds from each fault to the effect, at the EHR, of an event that came right after it."""
    counters: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    """Again and again, for each job (wanted, done)."""
    drain_seconds: float = 0.0
    drain_status: int | None = None
    left_running: int = 0
    orphans: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)
    """For each patient the T-score that her current assessment used."""
    current: dict[str, int] = field(default_factory=dict)
    at_ehr: dict[str, list[str]] = field(default_factory=dict)
    """For each patient the states of her RiskAssessments at the EHR."""
    doubles: list[str] = field(default_factory=list)
    """Resources at the EHR that share their identifier with another one: type and how many."""
    replays: list[Any] = field(default_factory=list)
    """The effects before a replay of everything, after it, and after a second one."""
    log: str = ""
    broker: str = ""


class Storm:
    """One run over one stage."""

    def __init__(
        self, stage: Stage, study: Path, *, patients: Sequence[str] = FLOWING, pause_seconds: float = FLOW_SECONDS
    ) -> None:
        """`patients`: whose values flow in, one every `pause_seconds`."""
        self.stage = stage
        self.patients = patients
        self._pause_seconds = pause_seconds
        self.seen = Aftermath()
        self._study = study
        self._ended = threading.Event()
        self._guard = threading.Lock()

    def run(self) -> Aftermath:
        """Everything, in some half a minute on a quiet machine."""
        self.stage.stack.start()
        with self.watched():
            for name, fault in self.faults().items():
                self.suffer(name, fault)
            self._lose_supervisor()
        self._replay()
        self._drain()
        self.judge()
        return self.seen

    # what is sent

    def send(self, document: Any) -> Answer:
        """As a sender does: the same again until it is accepted."""
        until = time.monotonic() + SOON_SECONDS
        while time.monotonic() < until:
            answer = self._post(document)
            with self._guard:
                self.seen.answers.append(answer)
                self.seen.accepted += answer.receipts
            if 200 <= answer.status < 300:
                return answer
            time.sleep(PAUSE_SECONDS)
        raise AssertionError("an event was not accepted in time")

    def _post(self, document: Any) -> Answer:
        headers = {"Content-Type": "application/fhir+json"}
        url = f"{self.stage.stack.base_url}/events"
        request = urllib.request.Request(url, json.dumps(document).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                told = json.loads(json.loads(reply.read())["issue"][0]["diagnostics"])["receipt"]
                receipts = tuple((row["event"], row["resource"], row["version"]) for row in told)
                return Answer(reply.status, None, receipts)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers.get("Retry-After"))
        except (OSError, ValueError):
            return Answer(0, None)

    def _flow(self) -> None:
        """New versions of each patient's T-score, one after the other."""
        number = 0
        for patient in self.patients:
            self.send(person(patient))
        while not self._ended.is_set():
            patient, value = self.patients[number % len(self.patients)], round(-1.0 - 0.001 * (number % 3000), 3)
            self.send(records.t_score(patient, value, meta={"versionId": str(number + 1)}))
            self.seen.latest[patient] = value
            number += 1
            time.sleep(self._pause_seconds)

    # what is watched

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        threads = [threading.Thread(target=step, daemon=True) for step in (self._flow, self._count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(SOON_SECONDS)

    def _count(self) -> None:
        with self.stage.database() as database:
            while not self._ended.wait(0.3):
                with contextlib.suppress(StoreUnavailable), database.read() as connection:
                    rows = connection.execute(text("SELECT id, wanted, done FROM jobs")).all()
                    self.seen.counters.append({row.id: (row.wanted, row.done) for row in rows})

    # what is broken

    def faults(self) -> dict[str, Callable[[], None]]:
        stage = self.stage
        common: dict[str, Callable[[], None]] = {
            "nothing": lambda: None,
            "worker killed": lambda: stage.kill("workers work"),
            "Redis killed and wiped": self._lose_redis,
            "Redis paused": lambda: stage.pause_redis(2.0),
            "Redis cut": stage.redis_proxy.cut,
            "sweeper killed": lambda: stage.kill("workers sweep"),
            "web server killed": lambda: stage.kill("granian"),
            "worker frozen": self._freeze_worker,
            "EHR cut after its commit": self._silent_ehr,
        }
        if stage.postgres is not None:
            return common | {"database cut": self._cut_database, "database killed": self._kill_database}
        return common | {"disk full": self._fill_disk, "database locked": self._lock_database}

    def suffer(self, name: str, fault: Callable[[], None]) -> None:
        patient = f"{CANARY}-after-{len(self.seen.recovery)}"
        study = records.imaging_study(patient, address=records.file_url(self._study))
        more = [study] if name in ("nothing", "worker killed", "worker frozen") else []
        self.send(records.bundle(person(f"{patient}-b"), records.t_score(f"{patient}-b")))  # under way when it breaks
        fault()
        begun = time.monotonic()
        self.send(records.bundle(person(patient), records.t_score(patient), *more))
        wanted = {"final"} if more else {"final", "preliminary", "registered"}
        wait_until(lambda: wanted & set(self.states(patient)), SOON_SECONDS, f"an effect after: {name}")
        self.seen.recovery[name] = time.monotonic() - begun

    def states(self, patient: str) -> list[str]:
        return [str(row.get("status")) for row in self.stage.ehr.risks(patient)]

    def _lose_redis(self) -> None:
        self.stage.kill_redis()
        self.send(person(f"{CANARY}-without-broker"))
        self.stage.start_redis()

    def _freeze_worker(self) -> None:
        """One of two children stops for longer than its claim holds, and comes back."""
        [child, *_] = wait_until(self.stage.working, SOON_SECONDS, "a worker at work")
        os.kill(child, signal.SIGSTOP)

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):  # another fault was quicker
                os.kill(child, signal.SIGCONT)

        threading.Timer(5.0, wake).start()

    def _silent_ehr(self) -> None:
        self.stage.ehr.silent = 2

    def _fill_disk(self) -> None:
        before = self._refused()
        with self.stage.full_disk():
            wait_until(lambda: self._refused() > before, 30, "an answer without a place for the row")

    def _lock_database(self) -> None:
        with self.stage.locked_database():
            time.sleep(1.5)

    def _cut_database(self) -> None:
        assert self.stage.database_proxy is not None
        before = self._refused()
        self.stage.database_proxy.mode = "refuse"
        self.stage.database_proxy.cut()
        wait_until(lambda: self._refused() > before, 30, "an answer without a database")
        self.stage.database_proxy.mode = "pass"

    def _kill_database(self) -> None:
        assert self.stage.postgres is not None
        self.stage.postgres.kill()
        self.stage.postgres.start()

    def _refused(self) -> int:
        return sum(answer.status == 503 for answer in self.seen.answers)

    def _lose_supervisor(self) -> None:
        """kill -9 of `vbq up` with work under way: its children go too, and the next start finishes it."""
        everybody = self.stage.stack.children("")
        patient = f"{CANARY}-before-the-end"
        self.send(records.bundle(person(patient), records.t_score(patient)))
        self.stage.stack.kill()
        wait_until(lambda: not any(map(lives, everybody)), SOON_SECONDS, "the end of the supervisor's children")
        begun = time.monotonic()
        self.stage.stack.start()
        wait_until(lambda: self.states(patient), SOON_SECONDS, "an effect after the supervisor's death")
        self.seen.recovery["supervisor killed"] = time.monotonic() - begun

    # what is found

    def quiet(self) -> None:
        with self.stage.database() as database:
            inbox = Inbox(database)
            wait_until(lambda: inbox.stats()["pending"] == 0, SOON_SECONDS, "the end of all work")

    def _effects(self) -> Any:
        with self.stage.database() as database, database.read() as connection:
            rows = connection.execute(text("SELECT id, current, superseded_by FROM assessments ORDER BY id")).all()
        stored = sorted((row["id"], json.dumps(row, sort_keys=True)) for row in self.stage.ehr.risks())
        return [tuple(row) for row in rows], stored, sum(self.stage.ehr.creates.values())

    def _replay(self) -> None:
        self.quiet()
        self.seen.replays.append(self._effects())
        for _ in range(2):
            with self.stage.database() as database:
                done = [row.id for row in Inbox(database).list(state="done", count=10**6)]
                assert Inbox(database).replay(done)
                Jobs(database).replay_dead()
            self.quiet()
            self.seen.replays.append(self._effects())

    def _drain(self) -> None:
        """SIGTERM with work at hand."""
        for number in range(5):
            patient = f"{CANARY}-drained-{number}"
            study = records.imaging_study(patient, address=records.file_url(self._study))
            self.send(records.bundle(person(patient), records.t_score(patient), study))
        begun = time.monotonic()
        self.seen.drain_status = self.stage.stack.stop(signal.SIGTERM)
        self.seen.drain_seconds = time.monotonic() - begun
        with self.stage.database() as database, database.read() as connection:
            running = text("SELECT count(*) FROM inbox WHERE state = 'running'")
            self.seen.left_running = int(connection.scalar(running) or 0)

    def judge(self) -> None:
        seen = self.seen
        with self.stage.database() as database, database.read() as connection:
            columns = "id, resource_type, resource_id, version, state, attempts, reason_code"
            seen.rows = [dict(row._mapping) for row in connection.execute(text(f"SELECT {columns} FROM inbox"))]
            columns = "id, kind, state, attempts, reason_code, wanted, done"
            seen.jobs = [dict(row._mapping) for row in connection.execute(text(f"SELECT {columns} FROM jobs"))]
            current = text("SELECT patient, body FROM assessments WHERE current")
            for row in connection.execute(current):
                name = row.patient.rpartition("/")[2]
                seen.current[name] = seen.current.get(name, 0) + 1
                inputs = json.loads(bytes(row.body))["inputs"]
                seen.used.update((name, found["value"]) for found in inputs if found["name"] == "t_score")
        seen.at_ehr = {name: self.states(name) for name in seen.current}
        seen.doubles = self.stage.ehr.doubles()
        seen.log = self.stage.stack.log
        seen.broker = self.stage.monitor.seen


def person(patient: str) -> dict[str, Any]:
    """The phantom's person under another id."""
    return records.patient(patient, name=[{"family": f"Canary-{CANARY.title()}"}])
