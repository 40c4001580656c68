"""How long until work goes on after each fault, by itself: is it under 15 seconds?

    ./run python -m benchmarks.recovery                                     # SQLite, each fault once, some two minutes
    ./run python -m benchmarks.recovery --database postgres --rounds 3 --out recovery.jsonl
    ./run python -m benchmarks.recovery --report recovery.jsonl             # writes the table of docs/reliability.md

`vbq up` runs as in benchmarks.chaos, without a flow. Two times are taken for each fault, in seconds from the fault:

new     until the RiskAssessment of an event that was sent right after it is at the EHR
held    until that of a study is, that a worker had in hand when the fault came (only where a worker is lost)

Exit status 1 if one took longer than 15 s. On a busy machine both grow with the load, which is printed beside them:
most of it is the start of a process, a few seconds of CPU.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.chaos import LONGEST_SECONDS, Chaos, Fault, prepared
from benchmarks.pages import put_table
from schemas.errors import StoreUnavailable
from tests import records
from tests.faults.storm import CANARY, person
from tests.stack import wait_until

GOAL_SECONDS = 15.0
PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
Row = dict[str, Any]


class Recovery(Chaos):
    """One fault after the other, with a rest between them."""

    def measure(self, rounds: int) -> list[Row]:
        """Rows of fault, new_seconds, held_seconds (None where nothing was in hand), load."""
        found: list[Row] = []
        self.stage.stack.start()
        for number in range(rounds):
            for name, fault in self.one_by_one().items():
                row = self._one(name, fault, f"{CANARY}-{number}-{len(found)}")
                found.append(row)
                held = f"{row['held_seconds']:6.1f}" if row["held_seconds"] is not None else "     -"
                print(f"{name:34} new {row['new_seconds']:6.1f} s  held {held} s  load {row['load']:.1f}", flush=True)
                self.quiet()
        return found

    def one_by_one(self) -> dict[str, Fault]:
        """The faults of this stage that are over when their function returns, or that end by themselves."""
        stage = self.stage
        found: dict[str, Fault] = {
            "nothing": lambda: None,
            "worker's child killed": self._kill_holder,
            "worker's parent killed": lambda: os.kill(stage.stack.children("workers work")[0], signal.SIGKILL),
            "worker and children killed": lambda: stage.kill("workers work"),
            "worker's parent frozen": lambda: os.kill(stage.stack.children("workers work")[0], signal.SIGSTOP),
            "sweeper killed": lambda: stage.kill("workers sweep"),
            "sweeper frozen": lambda: os.kill(stage.stack.children("workers sweep")[0], signal.SIGSTOP),
            "web server killed": lambda: stage.kill("granian"),
            "web server frozen": self.freeze_web_server,
            "Redis killed and wiped": self._lose_redis,
            "Redis cut": stage.redis_proxy.cut,
            "Redis away for 20 s": self._long_without_redis,
            "supervisor killed": self.lose_everybody,
        }
        if stage.postgres is not None:
            found |= {"database cut": stage.database_proxy.cut if stage.database_proxy else lambda: None}
            found |= {"database killed": self._kill_database}
        return found

    def _one(self, name: str, fault: Fault, patient: str) -> Row:
        held = name.startswith("worker") or name in ("database killed", "supervisor killed")
        if held:
            study = records.imaging_study(f"{patient}-held", address=records.file_url(self._study))
            self.send(records.bundle(person(f"{patient}-held"), records.t_score(f"{patient}-held"), study))
            wait_until(lambda: self.holders("measure"), LONGEST_SECONDS, "a worker with a study in hand")
        begun = fault() or time.monotonic()
        self.send(records.bundle(person(patient), records.t_score(patient)))
        times: dict[str, float] = {}
        awaited = {patient: {"preliminary", "registered"}} | ({f"{patient}-held": {"final"}} if held else {})
        while len(times) < len(awaited) and time.monotonic() - begun < LONGEST_SECONDS:
            for one, states in awaited.items():
                if one not in times and states & set(self.states(one)):
                    times[one] = round(time.monotonic() - begun, 2)
            time.sleep(0.02)
        new, old = times.get(patient, LONGEST_SECONDS), times.get(f"{patient}-held", LONGEST_SECONDS)
        row: Row = {"database": self.outcome.database, "fault": name, "load": round(os.getloadavg()[0], 1)}
        return {**row, "new_seconds": new, "held_seconds": old if held else None}

    def holders(self, kind: str) -> list[int]:
        """Processes that have a job of `kind` in hand."""
        with self.stage.database() as database, contextlib.suppress(StoreUnavailable), database.read() as connection:
            found = text("SELECT holder FROM jobs WHERE kind = :kind AND state = 'running' AND holder IS NOT NULL")
            return [int(row.holder.split(":")[1]) for row in connection.execute(found, {"kind": kind})]
        return []

    def _kill_holder(self) -> None:
        for pid in self.holders("measure"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _long_without_redis(self) -> None:
        self.stage.kill_redis()
        time.sleep(20.0)
        self.stage.start_redis()


def show(rows: list[Row]) -> tuple[Table, int]:
    """The table, and how many took too long."""
    table = Table("fault", "database", "times", "new: median, s", "max", "held: median, s", "max", "load")
    for key in dict.fromkeys((row["fault"], row["database"]) for row in rows):
        mine = [row for row in rows if (row["fault"], row["database"]) == key]
        cells = [*key, str(len(mine))]
        for what in ("new_seconds", "held_seconds"):
            values = [row[what] for row in mine if row[what] is not None]
            cells += [f"{median(values):.1f}", f"{max(values):.1f}"] if values else ["", ""]
        table.add_row(*cells, f"{min(row['load'] for row in mine):.0f}-{max(row['load'] for row in mine):.0f}")
    late = [row for row in rows if max(row["new_seconds"], row["held_seconds"] or 0.0) > GOAL_SECONDS]
    return table, len(late)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="append the rows as lines of JSON")
    parser.add_argument(
        "--report", type=Path, help="write the table of these rows to docs/reliability.md; runs nothing"
    )
    options = parser.parse_args()
    if options.report:
        rows = [json.loads(line) for line in options.report.read_text().splitlines()]
        put_table(PAGE, "recovery", show(rows)[0])
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    name = "postgresql" if options.database == "postgres" else "sqlite"
    with prepared(name) as (stage, study):
        rows = Recovery(stage, study, database=name, patients=1, rate=1.0, seed=1).measure(options.rounds)
    if options.out:
        with options.out.open("a") as sink:
            sink.writelines(json.dumps(row) + "\n" for row in rows)
    table, late = show(rows)
    Console(width=120).print(table)
    print(f"{late} took longer than {GOAL_SECONDS:.0f} s" if late else f"all within {GOAL_SECONDS:.0f} s")
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
