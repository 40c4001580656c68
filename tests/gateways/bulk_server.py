"""A FHIR server with $export, made to be told to misbehave: built on tests.hostile_server."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.hostile_server import Answer, Asked, Hostile, bundle

Json = dict[str, Any]


@dataclass
class BulkServer:
    """Exports `files` (name -> (kind, type, body)); `waits`: how often its state is "not yet"."""

    hosted: Hostile
    files: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    waits: int = 1
    needs_token: Any = False
    offers: tuple[str, ...] = ("$export",)
    rows: list[Json] = field(default_factory=list)
    at: str = ""
    token: str | None = None
    deleted: int = 0
    kicked: list[Asked] = field(default_factory=list)
    fault: Callable[[Asked], Answer | None] = lambda asked: None

    def __call__(self, asked: Asked) -> Answer:
        found = self.fault(asked)
        if found is not None:
            return found
        if self.token is not None and asked.token != f"Bearer {self.token}" and not asked.path.startswith("files/"):
            return Answer(401, {})
        path, _, query = asked.path.partition("?")
        if path in self.offers:
            if asked.headers.get("prefer") != "respond-async":
                return Answer(400, {})
            self.kicked.append(asked)
            return Answer(202, b"", {"Content-Location": f"{self.hosted.base}/state/{len(self.kicked)}"})
        if path.startswith("state/"):
            return self.state(asked, path)
        if path.startswith("files/"):
            name = path.removeprefix("files/")
            return Answer(200, self.files[name][2]) if name in self.files else Answer(404, {})
        return self.search(path, query, asked)

    def state(self, asked: Asked, path: str) -> Answer:
        if path != f"state/{len(self.kicked)}":
            return Answer(404, {})
        if asked.method == "DELETE":
            self.deleted += 1
            return Answer(202, b"")
        if self.waits > 0:
            self.waits -= 1
            return Answer(202, b"", {"Retry-After": "0", "X-Progress": "50 %\x07"})
        manifest: Json = {"transactionTime": "2026-01-01T00:00:00Z", "request": "x", "output": [], "error": []}
        if self.needs_token is not None:
            manifest["requiresAccessToken"] = self.needs_token
        for name, (kind, resource_type, body) in self.files.items():
            url = f"{self.at or self.hosted.base}/files/{name}"
            row = {"type": resource_type, "url": url, "count": len(body.splitlines())}
            manifest.setdefault(kind, []).append(row)
        return Answer(200, manifest)

    def search(self, path: str, query: str, asked: Asked) -> Answer:
        rows = [row for row in self.rows if row["resourceType"] == path]
        given = dict(part.partition("=")[::2] for part in query.split("&"))
        if asked.method != "GET" or "_count" not in given:
            return Answer(404, {})
        count, offset = int(given["_count"]), int(given.get("offset", 0))
        more = f"{self.hosted.base}/{path}?_count={count}&offset={offset + count}"
        return Answer(
            200, bundle(*rows[offset : offset + count], following=more if len(rows) > offset + count else None)
        )


def ndjson(*rows: Json) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
