"""A small FHIR server on loopback: answers reads and searches from a dictionary, and notes who asked for what."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tests.hostile_server import Answer, Asked, bundle, hostile

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
        self.answers[path] = (200, bundle(*resources, following=following))

    def __call__(self, asked: Asked) -> Answer:
        path = unquote(asked.path)
        self.asked.append((path, asked.token))
        self.cookies.append(asked.headers.get("cookie"))
        time.sleep(self.seconds)
        known = max((name for name in self.answers if path.startswith(name)), key=len, default=None)
        status, body = self.answers[known] if known else (404, {"resourceType": "OperationOutcome"})
        if asked.method != "GET":
            status, body = 501, {"resourceType": "OperationOutcome"}
        headers = {"Set-Cookie": "session=one", "Content-Type": "application/fhir+json"}
        return Answer(status, body, {**headers, **({"Location": body["location"]} if 300 <= status < 400 else {})})


@contextlib.contextmanager
def fhir_server() -> Iterator[FhirServer]:
    """Serves until the block ends."""
    here = FhirServer()
    with hostile(here) as hosted:
        here.base = hosted.base
        yield here
