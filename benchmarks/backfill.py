"""How fast a back-fill reads, and in how much memory: an $export of N Observations served on loopback.

    ./run python -m benchmarks.backfill              # 200,000 lines
    ./run python -m benchmarks.backfill --quick      # 10,000 lines
    ./run python -m benchmarks.backfill --lines 1000000

The server makes the lines as it sends them, in a process of its own. The database is SQLite at synchronous FULL in a
temporary directory; no worker runs, so what is measured is reading, parsing and writing down.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BATCH = 500


def line(number: int) -> bytes:
    observation = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]},
        "subject": {"reference": f"Patient/p{number % 50_000}"},
        "effectiveDateTime": "2025-12-01",
        "valueQuantity": {"value": 0.9, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
    }
    return json.dumps(observation).encode() + b"\n"


def serve(count: int, told: Any) -> None:
    """The server; sends its port through `told`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"http://127.0.0.1:{self.server.server_port}/fhir"  # type: ignore[attr-defined]  # HTTPServer's
            if "$export" in self.path:
                self.answer(202, b"", {"Content-Location": f"{base}/state"})
            elif self.path.endswith("/state"):
                rows = [{"type": "Observation", "url": f"{base}/file", "count": count}]
                self.answer(200, json.dumps({"requiresAccessToken": False, "output": rows}).encode(), {})
            else:
                self.send_response(200)
                self.end_headers()
                for start in range(0, count, BATCH):
                    self.wfile.write(b"".join(line(n) for n in range(start, min(start + BATCH, count))))

        def do_DELETE(self) -> None:
            self.answer(202, b"", {})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_port)
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="10,000 lines")
    given = parser.parse_args()
    count = 10_000 if given.quick else given.lines
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(count, theirs), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{ours.recv()}/fhir"
    try:
        with tempfile.TemporaryDirectory() as place:
            clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
            command = [sys.executable, "-m", "commands", "backfill", "--fhir", base, "--types", "Observation", "--json"]
            began = time.perf_counter()
            environment = {**clean, "VBQ_DATA_DIR": place}
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
            seconds = time.perf_counter() - began
            size = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
    finally:
        server.terminate()
        server.join()
    found = json.loads(done.stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{found['new']} of {count} lines in the inbox, {found['passed_over']} passed over")
    print(f"{seconds:.1f} s with start-up, {count / found['seconds']:.0f} lines/s reading")
    print(f"peak memory {peak:.0f} MiB, database {size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
