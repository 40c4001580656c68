"""What the audit log costs: entries appended and checked per second, and what handing one over costs a caller.

./run python -m benchmarks.audit [--rows 20000]
"""

import argparse
import tempfile
import time
from pathlib import Path

from gateways.audit.log import Audit
from gateways.audit.writer import AuditWriter
from gateways.store.database import Database
from schemas.audit import AuditEntry


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        actor_kind="cds-client",
        actor="benchmark",
        action="cards-read",
        patient=f"Patient/p{number}",
        entity=f"RiskAssessment/r{number}",
        detail={"hook": "patient-view", "user": "Practitioner/d1"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        database = Database(f"sqlite:///{Path(place) / 'audit.sqlite3'}")
        database.migrate()
        log = Audit(database)
        for batch in (1, 50, 500):
            wanted = min(rows, 50 * batch * 10)
            entries = [entry(number) for number in range(wanted)]
            start = time.perf_counter()
            for first in range(0, wanted, batch):
                log.write(entries[first : first + batch])
            seconds = time.perf_counter() - start
            print(f"append, {batch:>3} in a transaction: {wanted / seconds:>8.0f} rows/s")
        start = time.perf_counter()
        found = log.verify()
        print(f"verify: {found.rows / (time.perf_counter() - start):>8.0f} rows/s, whole: {found.ok}")
        writer = AuditWriter(log)
        slowest, start = 0.0, time.perf_counter()
        for number in range(rows):
            before = time.perf_counter()
            writer.note(entry(number))
            slowest = max(slowest, time.perf_counter() - before)
        each = (time.perf_counter() - start) / rows
        writer.close()
        print(f"handing over: {each * 1e6:.0f} us a call, the slowest {slowest * 1e3:.1f} ms")
        database.close()


if __name__ == "__main__":
    main()
