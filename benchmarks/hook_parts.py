"""One hook call without HTTP: CPU microseconds of the whole call and of its parts.

    ./run python -m benchmarks.hooks --in-process

The WSGI callable is called as granian calls it, in this very process; CPU is that of the calling thread. Of 1,000
patients each is asked about once: no answer is kept yet. The client's part (signing) is done beforehand.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from rich.console import Console
from rich.table import Table

from benchmarks.hooks import EHR, PATH, PATIENTS, body_of, fill_database
from benchmarks.redis_child import redis_child
from gateways.access.replay import SharedSeenTokens
from gateways.settings import Settings
from gateways.stand_ins import Credentials
from gateways.store.database import Database
from schemas.cds import read_request
from services.app import create_app
from services.bodies import json_object
from services.outside import Outside, connect
from services.tokens import Tokens

CALLS = 50
ROUNDS = 20  # 1,000 calls: each of the 1,000 patients once
HOST = "127.0.0.1:8080"
Environ = dict[str, Any]


def environ_of(body: bytes, token: str | None) -> Environ:
    """The WSGI environment of one call."""
    made: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": HOST,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return {**made, "HTTP_AUTHORIZATION": f"Bearer {token}"} if token else made


def call(app: Flask, environ: Environ) -> None:
    """One call; its answer must be 200."""
    said = []
    body = b"".join(app(environ, lambda status, _headers, _info=None: said.append(status)))
    assert said == ["200 OK"], (said, body[:300])


def cost_us(make: Callable[[int], Callable[[int], Any]]) -> float:
    """CPU us of one call of what `make(round)` gives: the lower quartile of the rounds, since what else runs on the
    machine can only add. What `make` does is not counted.
    """
    found = []
    for number in range(ROUNDS):
        work = make(number)
        began = time.thread_time()
        for place in range(CALLS):
            work(place)
        found.append(1e6 * (time.thread_time() - began) / CALLS)
    return statistics.quantiles(found, n=4)[0]


@contextlib.contextmanager
def app_of(settings: Settings) -> Iterator[tuple[Flask, Outside]]:
    """The app over a fresh database with a complete assessment for each patient."""
    database = Database(settings.database)
    database.migrate()
    database.close()
    fill_database(settings)
    outside = connect(settings)
    try:
        yield create_app(settings, outside, {}), outside
    finally:
        outside.close()


def whole_calls(app: Flask, patients: int, credentials: Credentials | None) -> float:
    bodies = [body_of(f"p{number}") for number in range(patients)]

    def make(number: int) -> Callable[[int], None]:
        made = []
        for place in range(CALLS):
            token = credentials.client_token(f"http://{HOST}{PATH}") if credentials else None
            made.append(environ_of(bodies[(number * CALLS + place) % patients], token))
        return lambda place: call(app, made[place])

    make(0)(0)
    return cost_us(make)


def parts(settings: Settings, outside: Outside, credentials: Credentials) -> dict[str, float]:
    """What the parts of a signed call cost."""
    body = body_of("p1")
    document = json_object(body, 64)
    tokens = Tokens(settings.structured().cds_clients)
    seen = SharedSeenTokens(settings)
    until = time.time() + 300
    url = f"http://{HOST}{PATH}"

    def fresh(_: int) -> Callable[[int], Any]:
        made = [credentials.client_token(url) for _ in range(CALLS)]
        return lambda place: tokens.check(made[place], [url])

    return {
        "body to JSON, its depth": cost_us(lambda _: lambda _: json_object(body, 64)),
        "JSON to a request": cost_us(lambda _: lambda _: read_request(document)),
        "ES384 token, its claims": cost_us(fresh),
        "its jti in Redis": cost_us(lambda n: lambda place: seen.first_time("x", f"{n}.{place}", until)),
        "stored result, kept": cost_us(lambda _: lambda _: outside.results.view("Patient/p1")),
        "stored result, not kept": cost_us(
            lambda n: lambda place: outside.results.view(f"Patient/p{(n * CALLS + place) % PATIENTS}")
        ),
    }


def run() -> None:
    """Measure and print."""
    table = Table(title="CDS Hooks in-process: CPU us of the calling thread")
    table.add_column("what", no_wrap=True)
    table.add_column("us", justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        credentials = Credentials("https://ehr.example")
        config = credentials.write_config(place, fhir_base=EHR, study_roots=[])
        with app_of(Settings(data_dir=place / "open", dev_open=True)) as (app, _):
            for patients in (1, PATIENTS):
                table.add_row(f"open, {patients:,} patient(s)", f"{whole_calls(app, patients, None):.0f}")
        settings = Settings(data_dir=place / "signed", config=config)
        with redis_child(place / "signed"), app_of(settings) as (app, outside):
            for patients in (1, PATIENTS):
                row = whole_calls(app, patients, credentials)
                table.add_row(f"ES384 and jti in Redis, {patients:,} patient(s)", f"{row:.0f}")
            for name, took in parts(settings, outside, credentials).items():
                table.add_row(f"  {name}", f"{took:.0f}")
    Console(width=100).print(table)
