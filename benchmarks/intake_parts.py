"""What one event costs the service's interpreter, part by part: `./run python -m benchmarks.intake_parts`. No HTTP.

CPU of one thread (the best of several rounds), so it hardly depends on what else the machine does. The whole way runs
through the entry that granian serves; only the store is left out there, and measured by itself: a commit's cost is
shared by the events in its group.
"""

import asyncio
import io
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from werkzeug.datastructures import Headers

from benchmarks.hooks import observation
from gateways.queue.inbox import Inbox
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.events import IncomingEvent, Receipt
from schemas.fhir.events import events_of
from schemas.fhir.parse import parse_json
from services.app import create_app
from services.outside import Outside, connect
from services.rsgi import Entry

CALLS, ROUNDS = 1500, 5
GROUPS = (1, 8, 32, 100)
BUNDLE = 100
PORT = 8080


class NoStore(Inbox):
    """Gives receipts and writes nothing."""

    def accept(self, events: Any) -> list[Receipt]:
        return [
            Receipt(event=1, resource=f"{row.resource_type}/{row.resource_id}", version=row.version, repeat=False)
            for row in events
        ]


class NoRelay:
    """Wakes nobody."""

    def wake(self, *_: object) -> None:
        return

    def close(self) -> None:
        return


def cpu(call: Callable[[int], object], calls: int = CALLS) -> float:
    """Microseconds of CPU per call, the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for number in range(calls):
            call(number)
        best = min(best, time.thread_time() - begun)
    return 1e6 * best / calls


def environ(body: bytes) -> dict[str, Any]:
    """A POST /events as a WSGI server hands it over."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/events",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(PORT),
        "HTTP_HOST": f"127.0.0.1:{PORT}",
        "CONTENT_TYPE": "application/fhir+json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def whole_way(settings: Settings, bodies: list[bytes], calls: int = CALLS) -> float:
    """From the WSGI environment to the answer's bytes, but for the store."""
    made = connect(settings)
    outside = Outside(made.database, NoStore(made.database), made.results, made.feedback, made.models, NoRelay())  # type: ignore[arg-type] # store, relay: what is not timed
    app = create_app(settings, outside)

    def call(number: int) -> None:
        seen: list[str] = []
        b"".join(app(environ(bodies[number]), lambda status, *_: seen.append(status)))  # type: ignore[arg-type] # no exc_info
        assert seen[0].startswith("202"), seen

    took = cpu(call, calls)
    made.close()
    return took


class Told:
    """A POST /events as granian tells of it."""

    method, path, query_string, scheme, client = "POST", "/events", "", "http", "127.0.0.1:1"

    def __init__(self, body: bytes) -> None:
        fields = {
            "Host": f"127.0.0.1:{PORT}",
            "Content-Type": "application/fhir+json",
            "Content-Length": str(len(body)),
        }
        self.headers = Headers(fields)


class Wire:
    """Its body, and its answer."""

    def __init__(self, body: bytes) -> None:
        self.body, self.status = body, 0

    async def __call__(self) -> bytes:
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body

    def response_bytes(self, status: int, *_: object) -> None:
        self.status = status


class NoStoreSoon(NoStore):
    """The same on an event loop."""

    def accept_soon(self, events: Any) -> "asyncio.Future[list[Receipt]]":
        done: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        done.set_result(self.accept(events))
        return done


def on_the_loop(settings: Settings, bodies: list[bytes]) -> float:
    """The same as `whole_way` on the event loop, as `vbq serve` runs it; without granian's own part."""
    made = connect(settings)
    store = NoStoreSoon(made.database)
    outside = Outside(made.database, store, made.results, made.feedback, made.models, NoRelay())  # type: ignore[arg-type] # as above
    entry = Entry(create_app(settings, outside))
    calls = [(Told(body), Wire(body)) for body in bodies]

    async def run() -> float:
        entry.__rsgi_init__(asyncio.get_running_loop())
        best = float("inf")
        for _ in range(ROUNDS):
            begun = time.thread_time()
            for told, wire in calls:
                await entry.__rsgi__(told, wire)
            best = min(best, time.thread_time() - begun)
        assert all(wire.status == 202 for _, wire in calls)
        return 1e6 * best / len(calls)

    took = asyncio.run(run())
    made.close()
    return took


def store(settings: Settings, group: int) -> float:
    """Microseconds of CPU per event of a commit that `group` requests share (SQLite, synchronous=FULL)."""
    database = Database(settings.database)
    inbox, names = Inbox(database), itertools.count()
    stamp = time.time_ns()

    def call(_: int) -> None:
        fresh = [
            IncomingEvent(
                source="bench",
                resource_type="Observation",
                resource_id=f"{stamp}-{next(names)}",
                version="1",
                patient="Patient/p",
                body=b" " * 500,
            )
            for _ in range(group)
        ]
        inbox._accept_all([[row] for row in fresh])  # noqa: SLF001 - what the writer's thread does for a group

    took = cpu(call, max(3, 200 // group)) / group
    database.close()
    return took


def main() -> None:
    """Print the table."""
    bodies = [json.dumps(observation(number, "p1")).encode() for number in range(CALLS)]
    entries = [{"resource": observation(number, "p1")} for number in range(BUNDLE)]
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    table = Table("part", "CPU us per event", title="One event, in process")
    with tempfile.TemporaryDirectory() as place:
        settings = Settings(data_dir=Path(place), dev_open=True, log_level="ERROR", port=PORT)
        Database(settings.database).migrate()
        table.add_row("request to answer, without the store", f"{on_the_loop(settings, bodies):.0f}")
        table.add_row("  the same through WSGI", f"{whole_way(settings, bodies):.0f}")
        table.add_row("  of it: JSON, strictly", f"{cpu(lambda n: parse_json(bodies[n])):.0f}")
        of = cpu(lambda n: events_of(bodies[n], source="bench", base=None, several=False))
        table.add_row("  of it: JSON to event", f"{of:.0f}")
        whole = whole_way(settings, [bundle] * 10, 10) / BUNDLE
        table.add_row(f"the same in a Bundle of {BUNDLE}", f"{whole:.0f}")
        for group in GROUPS:
            table.add_row(f"commit shared by {group}", f"{store(settings, group):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
