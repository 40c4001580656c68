"""A worker's hands without Celery: every step is called as a task would call it, on both databases."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gateways.audit.log import Audit
from gateways.dicom.decoder import Decoder
from gateways.queue.broker import WakeKind
from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from gateways.records.facts import Facts
from gateways.records.patients import Patients
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.registry.shadows import Shadows
from gateways.settings import Settings
from gateways.store.database import Database
from gateways.store.ehr_tables import circuits
from gateways.store.tables import jobs, resources
from schemas.events import IncomingEvent
from schemas.fhir.events import events_of
from vbq.imaging.network import load_network
from workers.assessing import assess_patient
from workers.bench import Bench
from workers.events import take_events
from workers.fetching import fetch
from workers.measuring import measure_study
from workers.outcomes import run_job
from workers.publishing import publish_patient

STEPS = {"measure": measure_study, "assess": assess_patient, "publish": publish_patient, "fetch": fetch}


class NoBroker:
    """Takes every wake-up call and forgets it, as a broker may."""

    def send(self, kind: WakeKind, row: int) -> None:
        return

    def close(self) -> None:
        return


class Hands:
    """What the worker, the sweeper and a sender would do, one thing after the other."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def push(self, *documents: dict[str, Any], source: str = "engine") -> None:
        for document in documents:
            self.bench.inbox.accept(self.events(document, source))

    def events(self, document: dict[str, Any], source: str = "engine") -> list[IncomingEvent]:
        return events_of(json.dumps(document).encode(), source=source, base=None, several=False).events

    def delete(self, resource_type: str, resource_id: str) -> None:
        path: dict[str, Any] = {"path_type": resource_type, "path_id": resource_id, "method": "DELETE"}
        self.bench.inbox.accept(events_of(b"", source="engine", base=None, several=False, **path).events)

    def read_events(self) -> None:
        take_events(self.bench, 0)

    def work(self) -> None:
        """Until nothing is due any more; what waits for later, or for an idle moment, stays."""
        for _ in range(100):
            self.read_events()
            due = self.due()
            if not due:
                return
            for row, kind in due:
                run_job(self.bench, row, STEPS[kind])
        pytest.fail("work never ends")

    def idle(self) -> None:
        """Nothing else is to be done: what nobody waits for is done."""
        with self.bench.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.when_idle).values(due_at=0.0))
        self.work()

    def due(self) -> list[tuple[int, str]]:
        now = self.bench.now().timestamp()
        with self.bench.database.read() as connection:
            wanted = select(jobs).where(jobs.c.state == "due", jobs.c.due_at <= now).order_by(jobs.c.id)
            rows = connection.execute(wanted)
            return [(row.id, row.kind) for row in rows]

    def hurry(self) -> None:
        """Time passes: everything that waits is due."""
        with self.bench.database.write() as connection:
            connection.execute(update(jobs).values(due_at=0.0))
            connection.execute(update(circuits).values(open_until=0.0))

    def job(self, kind: str) -> Any:
        with self.bench.database.read() as connection:
            return connection.execute(select(jobs).where(jobs.c.kind == kind)).one()

    def kept(self) -> int:
        with self.bench.database.read() as connection:
            return len(connection.execute(select(resources.c.event)).all())


@pytest.fixture(scope="session")
def long_lived() -> Iterator[dict[str, Any]]:
    """What a worker process makes once and keeps for thousands of studies: the decoder's child and the network."""
    with Decoder() as decoder:
        yield {"decoder": decoder, "network": load_network()}


@pytest.fixture
def make_hands(
    database: Database, tmp_path: Path, small_study: Path, long_lived: dict[str, Any]
) -> Iterator[Callable[..., Hands]]:
    made: list[Bench] = []

    def make(**given: Any) -> Hands:
        quick: dict[str, Any] = {"debounce_seconds": 0.0, "data_dir": tmp_path / "data"}
        bench = Bench.open(Settings(**{**quick, "study_roots": [small_study.parent], **given}))
        own: dict[str, Any] = {"database": database, "sender": NoBroker()}
        own |= {"inbox": Inbox(database), "jobs": Jobs(database)}
        own |= {"facts": Facts(database), "results": Results(database), "models": Models(bench.settings, database)}
        own |= {"patients": Patients(database, systems=bench.config.patient_identity.systems)}
        own |= {"shadows": Shadows(database), "audit": Audit(database)}
        made.append(dataclasses.replace(bench, **own))
        vars(made[-1]).update(long_lived)  # where the Bench keeps what it made when it was first asked for
        return Hands(made[-1])

    yield make
    for bench in made:
        vars(bench).pop("decoder")  # not this one's to close
        bench.close()


@pytest.fixture
def hands(make_hands: Callable[..., Hands]) -> Hands:
    return make_hands()
