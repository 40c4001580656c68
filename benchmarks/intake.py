"""Events accepted durably over HTTP: events/s at 16 and 64 connections, latency at fixed rates, Bundles of 100.

    ./run python -m benchmarks.intake [--seconds 5] [--rates 300,1000] [--data DIRECTORY] [--database URL]
    ./run python -m benchmarks.intake --processes 2    # how it grows: 1 to so many web processes over one database

SQLite in WAL mode with synchronous=FULL in the directory given by --data (its disk decides), or the PostgreSQL database
of --database, which should be an empty one. Every event is a new Observation. No worker runs: what is measured is the
way from the request to the row on disk.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.hooks import observation, row, show
from benchmarks.http_load import Outcome, closed, cpu_seconds, family, paced, request_of
from benchmarks.served import Served, served
from gateways.queue.inbox import Inbox
from gateways.store.database import Database

BUNDLE = 100


def new_events(here: Served, first: int = 0) -> Callable[[], bytes]:
    """A source of single Observations, each new, numbered from `first`."""
    host, numbers = f"127.0.0.1:{here.port}", itertools.count(first)

    def make() -> bytes:
        body = json.dumps(observation(next(numbers), "p1")).encode()
        return request_of("POST", "/events", host, body, {"Content-Type": "application/fhir+json"})

    return make


def new_bundles(here: Served) -> Callable[[], bytes]:
    """A source of collections of new Observations."""
    host, numbers = f"127.0.0.1:{here.port}", itertools.count(10**9)

    def make() -> bytes:
        entries: list[dict[str, Any]] = [{"resource": observation(next(numbers), "p1")} for _ in range(BUNDLE)]
        body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
        return request_of("POST", "/events", host, body, {"Content-Type": "application/fhir+json"})

    return make


async def together(here: list[Served], connections: int, seconds: float, make: Callable[[], bytes]) -> Outcome:
    """One closed loop, its connections shared out over all processes."""
    each = max(1, connections // len(here))
    parts = await asyncio.gather(*(closed(one.port, each, seconds, make) for one in here))
    whole = Outcome(elapsed=max(part.elapsed for part in parts))
    for part in parts:
        whole.took += part.took
        whole.statuses += part.statuses
    return whole


def growth(most: int, seconds: float, directory: Path, database: str | None) -> None:
    """Events/s of 1 to `most` web processes over one database, 64 connections."""
    table = Table("web processes", "events/s", "p99 ms", "CPU us/event", title="Intake: growth with processes")
    for count in range(1, most + 1):
        with contextlib.ExitStack() as stack:
            here = [stack.enter_context(served(directory=directory, database=database)) for _ in range(count)]
            make = new_events(here[0], first=count * 10**10)
            asyncio.run(together(here, 16, 1.0, make))  # warm
            pids = [pid for one in here for pid in family(one.pid)]
            before = cpu_seconds(pids)
            outcome = asyncio.run(together(here, 64, seconds, make))
            used = 1e6 * (cpu_seconds(pids) - before) / len(outcome.took)
            table.add_row(str(count), f"{outcome.rate:,.0f}", f"{outcome.quantile(0.99):.1f}", f"{used:.0f}")
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rates", default="300,1000")
    parser.add_argument("--data", type=Path, help="an empty directory; default: a temporary one")
    parser.add_argument("--database", help="the URL of an empty PostgreSQL database; default: SQLite in --data")
    parser.add_argument("--processes", type=int, help="measure the growth with 1 to so many web processes, only that")
    options = parser.parse_args()
    if options.processes:
        with tempfile.TemporaryDirectory() as place:
            growth(options.processes, options.seconds, options.data or Path(place), options.database)
        return
    with served(directory=options.data, database=options.database) as here:
        single, bundles = new_events(here), new_bundles(here)
        asyncio.run(closed(here.port, 16, 1.0, single))  # warm
        rows = [
            row(
                f"{count} connections, closed loop", here, lambda n=count: closed(here.port, n, options.seconds, single)
            )
            for count in (16, 64)
        ]
        for rate in map(float, options.rates.split(",")):
            name = f"{rate:.0f}/s, open loop"
            rows.append(row(name, here, lambda r=rate: paced(here.port, 128, options.seconds, r, single)))
        name = f"Bundles of {BUNDLE}, 4 connections"
        rows.append(row(name, here, lambda: closed(here.port, 4, options.seconds, bundles)))
        store = "PostgreSQL" if options.database else "SQLite, WAL, synchronous=FULL"
        show(f"Intake: accepted durably ({store})", rows, here)
        database = Database(here.settings.database)
        inbox = Inbox(database)
        print(f"{inbox.stats()['accepted']:,} events in the inbox")
        database.close()


if __name__ == "__main__":
    main()
