"""Events accepted durably over HTTP: events/s at 16 and 64 connections, latency at fixed rates, Bundles of 100.

    ./run python -m benchmarks.intake [--seconds 5] [--rates 300,1000] [--broker]

SQLite in WAL mode with synchronous=FULL in the directory given by --data (its disk decides). Every event is a new
Observation. No worker runs: what is measured is the way from the request to the row on disk.
"""

import argparse
import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hooks import observation, row, show
from benchmarks.http_load import closed, paced, request_of
from benchmarks.served import Served, served
from gateways.queue.inbox import Inbox
from gateways.store.database import Database

BUNDLE = 100


def new_events(here: Served) -> Callable[[], bytes]:
    """A source of single Observations, each new."""
    host, numbers = f"127.0.0.1:{here.port}", itertools.count()

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rates", default="300,1000")
    parser.add_argument("--data", type=Path, help="an empty directory; default: a temporary one")
    options = parser.parse_args()
    with served(directory=options.data) as here:
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
        show("Intake: accepted durably (SQLite, WAL, synchronous=FULL)", rows, here)
        database = Database(here.settings.database)
        inbox = Inbox(database)
        print(f"{inbox.stats()['accepted']:,} events in the inbox")
        database.close()


if __name__ == "__main__":
    main()
