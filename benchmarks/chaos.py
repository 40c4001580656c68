"""The whole installation, broken again and again while events flow in: is anything lost, is anything done twice?

    ./run python -m benchmarks.chaos --quick                                  # a minute or two
    ./run python -m benchmarks.chaos --database postgres --minutes 20 --out chaos.jsonl
    ./run python -m benchmarks.chaos --report chaos.jsonl                     # the tables of docs/reliability.md

`vbq up` with two worker children runs behind TCP proxies (tests/proxy.py), with a Redis that keeps nothing, SQLite or
PostgreSQL, and a FHIR server that counts what reaches it (tests/counting_ehr.py). New versions of patients' values and
some studies arrive all the time, as many as get done (the rate follows the backlog); every few seconds one part is
killed, frozen, paused, filled up or cut off. After each fault an event of a patient of its own is sent, and the time
until its RiskAssessment is at the EHR is the recovery.

lost    accepted with a 2xx and not in the inbox, or never finished; or a patient whose assessment lacks the last value
double  two resources with one identifier at the EHR, or two RiskAssessments that stand for one patient

Exit status 1 unless both are 0.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.pages import put_table
from gateways.queue.inbox import Inbox
from schemas.errors import StoreUnavailable
from tests import records
from tests.faults.storm import CANARY, Storm, person
from tests.proxy import Proxy
from tests.stack import wait_until
from tests.stage import Stage, lives

LONGEST_SECONDS = 300.0
LEAST_RATE, MOST_RATE = 2.0, 200.0
FEW_PENDING, MANY_PENDING = 50, 300
LOOK_SECONDS = 1.0
PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
Fault = Callable[[], float | None]
"""Breaks something; returns when it did (time.monotonic()) where that was before the function's end."""
HELD_SECONDS = 4.0
STANDING = {"final", "preliminary"}
Json = dict[str, Any]


@dataclass
class Outcome:
    """What one run was worth. Seconds of recovery by fault."""

    database: str
    accepted: int = 0
    done: int = 0
    dead: int = 0
    lost: int = 0
    double: int = 0
    refused: int = 0
    unheard: int = 0
    seconds: float = 0.0
    recovery: dict[str, list[float]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


class Chaos(Storm):
    """A storm without an end in sight."""

    def __init__(self, stage: Stage, study: Path, *, database: str, patients: int, rate: float, seed: int) -> None:
        super().__init__(
            stage, study, patients=[f"{CANARY}-{number}" for number in range(patients)], pause_seconds=1 / rate
        )
        self.outcome = Outcome(database)
        self._rate = rate
        self._chance = random.Random(seed)
        self._numbers = itertools.count()

    def rage(self, minutes: float, every_seconds: float) -> Outcome:
        """Break things for `minutes`, then wait until everything is done, and count."""
        begun = time.monotonic()
        self.stage.stack.start()
        names = list(self.trouble())
        with self.watched():
            self.endure("nothing", lambda: None)
            rounds: list[str] = []
            while time.monotonic() - begun < 60 * minutes:
                rounds = rounds or self._chance.sample(names, len(names))
                name = rounds.pop()
                self.endure(name, self.trouble()[name])
                time.sleep(every_seconds)
        self.settle()
        self.count()
        self.outcome.seconds = time.monotonic() - begun
        return self.outcome

    def pace(self) -> None:
        """As many events as get done: more while few wait, fewer while many do."""
        with self.stage.database() as database:
            inbox = Inbox(database)
            while not self._ended.wait(LOOK_SECONDS):
                with contextlib.suppress(StoreUnavailable):
                    pending = inbox.stats()["pending"]
                    factor = 1.2 if pending < FEW_PENDING else 0.8 if pending > MANY_PENDING else 1.0
                    self._rate = min(max(self._rate * factor, LEAST_RATE), MOST_RATE)
                    self._pause_seconds = 1 / self._rate

    @contextmanager
    def watched(self) -> Iterator[None]:
        pacer = threading.Thread(target=self.pace, daemon=True)
        with super().watched():
            pacer.start()
            yield
        pacer.join(LONGEST_SECONDS)

    def trouble(self) -> dict[str, Fault]:
        """Every fault that this stage can have."""
        stage = self.stage
        far: dict[str, Proxy | None] = {
            "Redis": stage.redis_proxy,
            "EHR": stage.ehr_proxy,
            "database": stage.database_proxy,
        }
        network: dict[str, Fault] = {}
        for name, proxy in far.items():
            if proxy is not None:
                network[f"{name} cut"] = proxy.cut
                network[f"{name} half-open"] = partial(self.hold, proxy)
                network[f"{name} slow"] = partial(self.slow, proxy)
        own = {name: fault for name, fault in self.faults().items() if name not in ("nothing", *network)}
        killed: dict[str, Fault] = {
            "all that write killed": self.kill_writers,
            "web server frozen": self.freeze_web_server,
            "supervisor killed": self.lose_everybody,
        }
        return {**own, **network, **killed}

    def endure(self, name: str, fault: Fault) -> None:
        """One fault, and how long it takes until an event that comes after it has its effect."""
        patient = f"{CANARY}-after-{next(self._numbers)}"
        study = records.imaging_study(patient, address=records.file_url(self._study))
        imaging = next(self._numbers) % 4 == 0
        begun = fault() or time.monotonic()
        self.send(records.bundle(person(patient), records.t_score(patient), *([study] if imaging else [])))
        wanted = {"final"} if imaging else {*STANDING, "registered"}
        wait_until(lambda: wanted & set(self.states(patient)), LONGEST_SECONDS, f"an effect after: {name}")
        took = time.monotonic() - begun
        self.outcome.recovery.setdefault(name, []).append(round(took, 2))
        print(
            f"{time.strftime('%H:%M:%S')}  {name:32} {took:6.1f} s  {len(self.seen.accepted):7,} accepted", flush=True
        )

    def hold(self, proxy: Proxy) -> None:
        proxy.mode = "hold"
        time.sleep(HELD_SECONDS)
        proxy.mode = "pass"

    def slow(self, proxy: Proxy) -> None:
        proxy.delay_seconds = 0.1
        time.sleep(HELD_SECONDS)
        proxy.delay_seconds = 0.0

    def kill_writers(self) -> None:
        """Everybody who writes to the database, in mid write: on SQLite that is the database itself."""
        for words in ("granian", "workers work", "workers sweep"):
            self.stage.kill(words)

    def freeze_web_server(self) -> None:
        """SIGSTOP: the kernel still takes connections, nobody answers; the supervisor notices."""
        for pid in self.stage.stack.children("granian"):
            os.kill(pid, signal.SIGSTOP)

    def lose_everybody(self) -> float:
        """The supervisor is killed (-9); the recovery is that of a start."""
        everybody = self.stage.stack.children("")
        self.stage.stack.kill()
        begun = time.monotonic()
        wait_until(lambda: not any(map(lives, everybody)), LONGEST_SECONDS, "the end of the supervisor's children")
        self.stage.stack.start()
        return begun

    def settle(self) -> None:
        """Until nothing is pending any more."""
        with self.stage.database() as database:
            inbox = Inbox(database)
            until = time.monotonic() + LONGEST_SECONDS
            while (left := inbox.stats()["pending"]) and time.monotonic() < until:
                time.sleep(0.5)
        if left:
            self.outcome.reasons.append(f"{left} pending after {LONGEST_SECONDS:.0f} s")

    def count(self) -> None:
        """The outcome, from the database and the EHR."""
        self.stage.stack.stop(signal.SIGTERM)
        self.judge()
        seen, found = self.seen, self.outcome
        stored = {(row["id"], f"{row['resource_type']}/{row['resource_id']}", row["version"]) for row in seen.rows}
        states = Counter(row["state"] for row in seen.rows)
        gone = [receipt for receipt in seen.accepted if receipt not in stored]
        behind = [name for name, value in seen.latest.items() if seen.used.get(name) != value]
        absent = [name for name, at_ehr in seen.at_ehr.items() if not at_ehr]
        standing = [name for name, at_ehr in seen.at_ehr.items() if sum(state in STANDING for state in at_ehr) > 1]
        found.accepted = len({event for event, _, _ in seen.accepted})
        found.done, found.dead = states["done"], states["dead"]
        unfinished = len(seen.rows) - found.done - found.dead
        found.lost = len(gone) + unfinished + len(behind) + len(absent)
        found.double = len(seen.doubles) + len(standing)
        found.refused = sum(answer.status >= 400 for answer in seen.answers)
        found.unheard = sum(answer.status == 0 for answer in seen.answers)
        found.reasons += [
            f"{row['resource_type']}: {row['reason_code']}" for row in seen.rows if row["state"] == "dead"
        ]
        found.reasons += [f"job {row['kind']}: {row['reason_code']}" for row in seen.jobs if row["state"] == "dead"]
        if found.lost:
            parts: dict[str, list[Any]] = {"not in the inbox": gone, "value behind": behind, "not at the EHR": absent}
            found.reasons += [f"{name}: {len(rows)}" for name, rows in parts.items() if rows]
            found.reasons += [f"unfinished: {unfinished}"] if unfinished else []


@contextmanager
def prepared(database: str) -> Iterator[tuple[Stage, Path]]:
    """A stage with a small synthetic study."""
    stage = Stage(database, VBQ_CLAIM_SECONDS="10")
    try:
        study = stage.place / "studies" / "phantom"
        size = ["--matrix", "192", "--slices", "7", "--no-distractors", "--vbq", "4.1", "--seed", "5"]
        command = [sys.executable, "-m", "commands", "simulate", "study", *size, "--out", str(study)]
        subprocess.run(command, check=True, capture_output=True)
        yield stage, study
    finally:
        if "VBQ_CHAOS_LOG" in os.environ and (stage.place / "data" / "stack.log").exists():
            shutil.copy(stage.place / "data" / "stack.log", os.environ["VBQ_CHAOS_LOG"])
        stage.close()


def tables(outcomes: list[Json]) -> tuple[Table, Table]:
    """What became of the events, and how long each fault took to be over."""
    table = Table("database", "runs", "minutes", "accepted", "done", "dead", "lost", "double", "refused", "unheard")
    for database in sorted({row["database"] for row in outcomes}):
        mine = [row for row in outcomes if row["database"] == database]
        sums = [
            sum(row[key] for row in mine)
            for key in ("accepted", "done", "dead", "lost", "double", "refused", "unheard")
        ]
        minutes = sum(row["seconds"] for row in mine) / 60
        table.add_row(database, str(len(mine)), f"{minutes:.1f}", *(f"{value:,}" for value in sums))
    times = Table("fault", "times", "recovery median, s", "max, s")
    every: dict[str, list[float]] = {}
    for row in outcomes:
        for name, values in row["recovery"].items():
            every.setdefault(name, []).extend(values)
    for name, values in sorted(every.items()):
        times.add_row(name, str(len(values)), f"{median(values):.1f}", f"{max(values):.1f}")
    return table, times


def show(outcomes: list[Json]) -> int:
    """Print the tables; the exit status."""
    console = Console(width=120)
    for table in tables(outcomes):
        console.print(table)
    for reason, count in Counter(reason for row in outcomes for reason in row["reasons"]).most_common():
        console.print(f"{count} x {reason}")
    return int(any(row["lost"] or row["double"] for row in outcomes))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds of rest between faults")
    parser.add_argument("--rate", type=float, default=20.0, help="events per second at first")
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one minute, 5 events/s")
    parser.add_argument("--out", type=Path, help="append the outcome as a line of JSON")
    parser.add_argument("--report", type=Path, help="sum the outcomes in this file into docs/reliability.md")
    options = parser.parse_args()
    if options.report:
        outcomes = [json.loads(line) for line in options.report.read_text().splitlines()]
        for name, table in zip(("chaos", "chaos-recovery"), tables(outcomes), strict=True):
            put_table(PAGE, name, table)
        return show(outcomes)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped, also then
    minutes, rate = (1.0, 5.0) if options.quick else (options.minutes, options.rate)
    database = "postgresql" if options.database == "postgres" else "sqlite"
    with prepared(database) as (stage, study):
        run = Chaos(stage, study, database=database, patients=options.patients, rate=rate, seed=options.seed)
        outcome = vars(run.rage(minutes, options.every))
    if options.out:
        with options.out.open("a") as sink:
            sink.write(json.dumps(outcome) + "\n")
    return show([outcome])


if __name__ == "__main__":
    sys.exit(main())
