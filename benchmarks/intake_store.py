"""Events made durable per second, by the number of threads that bring them: `./run python -m benchmarks.intake_store`.

One event per call, as requests bring them. SQLite writes through to the disk (synchronous=FULL); give a PostgreSQL URL
as argument to measure that instead.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateways.queue.inbox import Inbox
from gateways.store.database import Database
from schemas.events import IncomingEvent

EVENTS = 6_000
BODY = b'{"resourceType":"Observation","status":"final","valueQuantity":{"value":61.5,"unit":"kg"}}'.ljust(1000)


def an_event(name: str) -> IncomingEvent:
    """A synthetic observation of 1 kB."""
    return IncomingEvent(
        source="bench", resource_type="Observation", resource_id=name, version="1", patient="Patient/p", body=BODY
    )


def measure(inbox: Inbox, threads: int, label: str) -> tuple[float, float, list[float]]:
    """(events per second, CPU microseconds per event, latencies in ms, sorted)."""
    took: list[list[float]] = [[] for _ in range(threads)]

    def bring(thread: int) -> None:
        for number in range(EVENTS // threads):
            event = an_event(f"{label}-{thread}-{number}")
            begun = time.perf_counter()
            inbox.accept([event])
            took[thread].append(1000 * (time.perf_counter() - begun))

    workers = [threading.Thread(target=bring, args=(number,)) for number in range(threads)]
    begun, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    every = sorted(value for row in took for value in row)
    return len(every) / seconds, 1e6 * cpu / len(every), every


def main() -> None:
    """Print the table."""
    table = Table(title=f"Inbox: {EVENTS} events of 1 kB, one per call")
    for name in ("threads", "events/s", "CPU us/event", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as place:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{Path(place) / 'bench.sqlite3'}"
        database = Database(url)
        database.migrate()
        inbox = Inbox(database)
        for threads in (1, 8, 16, 64):
            rate, cpu, took = measure(inbox, threads, f"{time.time_ns()}-{threads}")
            p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
            table.add_row(str(threads), f"{rate:,.0f}", f"{cpu:.0f}", f"{p50:.1f}", f"{p99:.1f}")
        inbox.close()
        database.close()
    Console().print(table)


if __name__ == "__main__":
    main()
