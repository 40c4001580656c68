"""The EHR's FHIR server: a stand-in that answers what it was told, and a real one that we did not write."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.loopback import LoopbackServer, serving

AGREES = object()  # a transaction response that says 201 for every entry


class Server(LoopbackServer):
    """Answers as it was told and remembers what came."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.answer: tuple[int, dict[str, str], Any] = (200, {}, {})
        self.came: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, dict(self.headers), json.loads(body)))
        status, headers, document = self.server.answer
        if document is AGREES:
            document = reply(*["201 Created"] * len(self.server.came[-1][2]["entry"]))
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port, in a thread."""
    server = Server()
    with serving(server):
        yield server


def reply(*statuses: str) -> dict[str, Any]:
    entries = [{"response": {"status": status}} for status in statuses]
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


@contextmanager
def sekmet(place: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Iterator[httpx.Client]:
    """sekmet-fhir under uvicorn on a free loopback port, its files below `place`; `more` of its settings."""
    from sekmet.config import Settings
    from sekmet.main import create_app

    monkeypatch.chdir(place)  # it writes keys beside itself
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # it must know its own address: its links and its tokens' audience say it
    settings = {"base_url": f"http://127.0.0.1:{port}/fhir", "data_dir": str(place), "simulator": {"enabled": False}}
    app = create_app(Settings.model_validate({**settings, **more}))
    host = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=host.run)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not host.started:
            assert time.monotonic() < until, "the FHIR server did not start"
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        host.should_exit = True
        thread.join()
