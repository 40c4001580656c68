"""A small FHIR server on loopback: answers reads and searches from a dictionary, and notes who asked for what."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]


class FhirServer:
    """`answers`: (beginning of the path and query, status, body or headers); the longest beginning counts."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Json]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cookies: list[str | None] = []
        self.seconds = 0.0
        self.base = ""

    def bundle(self, path: str, *resources: Json, following: str | None = None) -> None:
        """Answer `path` with a searchset."""
        body: Json = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": row} for row in resources]}
        if following:
            body["link"] = [{"relation": "next", "url": following}]
        self.answers[path] = (200, body)


@contextlib.contextmanager
def fhir_server() -> Iterator[FhirServer]:
    """Serves until the block ends."""
    here = FhirServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path).removeprefix("/fhir/")
            here.asked.append((path, self.headers.get("Authorization")))
            here.cookies.append(self.headers.get("Cookie"))
            time.sleep(here.seconds)
            known = max((name for name in here.answers if path.startswith(name)), key=len, default=None)
            status, body = here.answers[known] if known else (404, {"resourceType": "OperationOutcome"})
            raw = json.dumps(body).encode()
            with contextlib.suppress(OSError):  # the client may have given up
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", body["location"])
                self.send_header("Set-Cookie", "session=one")
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here.base = f"http://127.0.0.1:{server.server_port}/fhir"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
