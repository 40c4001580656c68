"""`vbq model rescore` without Celery: stored assessments made again with another model, per second of one process.

    ./run python -m benchmarks.rescore [--patients 500]

Synthetic women with a Patient, a T-score, a study and its measurement. What is timed is what a worker does for each:
claim the job, read her facts, assess, write the new assessment with its FHIR resources and its audit entry, in one
transaction; SQLite with FULL. Workers on PostgreSQL run beside one another.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from sqlalchemy import delete, select

from benchmarks.hooks import observation, person
from gateways.queue.broker import WakeKind
from gateways.registry.rescoring import Rescoring
from gateways.settings import Settings
from gateways.store.tables import jobs
from schemas.fhir.events import events_of
from schemas.measurement import Acquisition, Measurement
from vbq.risk.artefact import canonical
from vbq.risk.published import build
from vbq.risk.signature import public_text, sign
from workers.assessing import assess_patient
from workers.bench import Bench
from workers.events import take_events
from workers.outcomes import run_job

BATCH = 100


class NoBroker:
    """Wake-up calls go nowhere: the benchmark looks for what is due itself."""

    def send(self, _kind: WakeKind, _row: int) -> None:
        return

    def close(self) -> None:
        return


def bench_of(place: Path, key: Ed25519PrivateKey) -> Bench:
    """A worker's hands over a fresh database whose site trusts `key`."""
    config = place / "vbq.yaml"
    trusted = {"name": "benchmark", "ed25519": public_text(key.public_key()), "roles": ["sign", "deploy"]}
    config.write_text(json.dumps({"model_keys": [trusted]}))
    bench = Bench.open(Settings(data_dir=place, config=config, debounce_seconds=0.0))
    bench.database.migrate()
    made: Any = {"sender": NoBroker()}
    return dataclasses.replace(bench, **made)


def arrive(bench: Bench, patients: int) -> None:
    """Facts and measurements of so many women."""
    for number in range(patients):
        name = f"p{number}"
        study = {
            "resourceType": "ImagingStudy",
            "id": f"s{number}",
            "status": "available",
            "subject": {"reference": f"Patient/{name}"},
            "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        }
        for document in (person(name), observation(number, name), study):
            bench.inbox.accept(
                events_of(json.dumps(document).encode(), source="engine", base=None, several=False).events
            )
    for _ in range(patients):  # each takes a batch
        take_events(bench, 0)
    with bench.database.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.kind == "measure"))
        for number in range(patients):
            measured = Measurement(
                status="measured",
                vbq=round(3.0 + (number % 200) / 100, 2),
                interval=(2.9, 5.1),
                method="reader",
                algorithm="benchmark",
                study_uid=f"2.25.{number + 1}",
                acquisition=Acquisition(study_date="2024-01-15"),
            )
            subject = f"engine/ImagingStudy/s{number}"
            bench.results.store_measurement(connection, subject, 1, f"Patient/p{number}", measured)


def assess_all(bench: Bench) -> int:
    """Run every assessment that is due; how many it were."""
    with bench.database.read() as connection:
        due = list(connection.scalars(select(jobs.c.id).where(jobs.c.kind == "assess", jobs.c.state == "due")))
    for row in due:
        run_job(bench, row, assess_patient)
    return len(due)


def deploy(bench: Bench, key: Ed25519PrivateKey) -> str:
    """Another model, signed and active; its digest."""
    content = canonical(build().but(id="another", version="1.0.0"))
    added = bench.models.add(content, sign(content, key).model_dump_json().encode())
    bench.models.record("deploy", "another", key=key, by="benchmark", why="to be timed")
    bench.models.state(fresh=True)
    return added.digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=500)
    patients = parser.parse_args().patients
    with tempfile.TemporaryDirectory() as temporary:
        key = Ed25519PrivateKey.generate()
        bench = bench_of(Path(temporary), key)
        arrive(bench, patients)
        first = assess_all(bench)
        digest = deploy(bench, key)
        work = Rescoring(bench.database, digest)
        work.begin()
        began, cpu, done = time.perf_counter(), time.process_time(), 0
        while work.ask(BATCH) or not work.progress().finished:
            done += assess_all(bench)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        left = work.stale()
        bench.close()
    assert (first, done, left) == (patients, patients, 0), (first, done, left)
    Console().print(
        f"{done:,} stored assessments made again: {done / took:,.0f}/s ({1000 * used / done:.1f} ms of CPU each)"
    )


if __name__ == "__main__":
    main()
