"""A FHIR server that counts what reaches it: conditional creates and updates as the specification has them.

It is a stand-in (tests/ehr_server.py runs one that we did not write); what it adds are faults of its own: it can commit
a transaction and cut the connection before it answers.
"""

import json
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import LoopbackServer

Json = dict[str, Any]


class CountingEhr(LoopbackServer):
    """On a free loopback port, in a thread. `silent`: so many transactions are committed and not answered."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.guard = threading.Lock()
        self.store: dict[tuple[str, str], Json] = {}
        self.creates: Counter[tuple[str, str]] = Counter()
        self.transactions = 0
        self.silent = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def risks(self, patient: str | None = None) -> list[Json]:
        """The RiskAssessments that it holds, of `patient` (an id) or of everybody."""
        with self.guard:
            rows = [row for (kind, _), row in self.store.items() if kind == "RiskAssessment"]
        return rows if patient is None else [row for row in rows if _ends(row, patient)]

    def doubles(self) -> list[str]:
        """Identifiers that more than one resource of a type has: `type x times`."""
        with self.guard:
            seen = Counter((kind, _key(row)) for (kind, _), row in self.store.items() if _key(row))
        return [f"{kind} x {count}" for (kind, _), count in seen.items() if count > 1]

    def transact(self, bundle: Json) -> Json:
        with self.guard:
            self.transactions += 1
            answers = [self._apply(entry) for entry in bundle.get("entry", [])]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def search(self, kind: str, identifier: str) -> list[Json]:
        with self.guard:
            return [row for (type_, _), row in self.store.items() if type_ == kind and _key(row) == identifier]

    def put(self, kind: str, name: str, resource: Json) -> int:
        fresh = (kind, name) not in self.store
        self.store[kind, name] = {**resource, "id": name}
        if fresh and _key(resource):
            self.creates[kind, _key(resource)] += 1
        return 201 if fresh else 200

    def _apply(self, entry: Json) -> Json:
        request, resource = entry["request"], entry["resource"]
        path, _, query = request["url"].partition("?")
        kind, _, rest = path.partition("/")
        wanted = parse_qs(unquote(query or request.get("ifNoneExist", ""))).get("identifier", [""])[0]
        same = [name for (type_, name), row in self.store.items() if wanted and (type_, _key(row)) == (kind, wanted)]
        if request["method"] == "POST" and same:
            return {"response": {"status": "200 OK", "location": f"{kind}/{same[0]}"}}
        name = rest or (same[0] if same else str(uuid.uuid4()))
        status = self.put(kind, name, resource)
        return {"response": {"status": "201 Created" if status == 201 else "200 OK", "location": f"{kind}/{name}"}}


class _Handler(BaseHTTPRequestHandler):
    server: CountingEhr
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        bundle = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.server.transact(bundle)
        if self.server.silent > 0:
            self.server.silent -= 1
            self.close_connection = True
            self.connection.close()
            return
        self._say(200, reply)

    def do_PUT(self) -> None:
        resource = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, name = urlsplit(self.path).path.split("/")[-2:]
        with self.server.guard:
            status = self.server.put(kind, name, resource)
        self._say(status, resource)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        kind = parts.path.removeprefix("/fhir").strip("/")
        if kind == "metadata":
            return self._say(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "status": "active"})
        if "/" in kind:
            with self.server.guard:
                found = self.server.store.get(tuple(kind.split("/", 1)))  # type: ignore[arg-type]
            return self._say(200 if found else 404, found or {"resourceType": "OperationOutcome", "issue": []})
        rows = self.server.search(kind, parse_qs(parts.query).get("identifier", [""])[0])
        entries = [{"resource": row} for row in rows]
        return self._say(200, {"resourceType": "Bundle", "type": "searchset", "total": len(rows), "entry": entries})

    def _say(self, status: int, document: Json) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


def _key(resource: Json) -> str:
    rows = resource.get("identifier") or []
    first = rows[0] if isinstance(rows, list) and rows else {}
    return f"{first.get('system', '')}|{first.get('value', '')}" if first else ""


def _ends(row: Json, patient: str) -> bool:
    return str(row.get("subject", {}).get("reference", "")).endswith(f"Patient/{patient}")
