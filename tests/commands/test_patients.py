"""`vbq patients`: which records are one person, and following their ties after the configuration changed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import select

from commands.patients import relink_, show_
from gateways.queue.inbox import Inbox
from gateways.records.patients import Patients
from gateways.settings import Settings
from gateways.store.database import Database
from gateways.store.tables import jobs
from schemas.errors import NotAcceptable
from schemas.fhir.events import events_of
from tests import records
from tests.databases import with_tables
from workers.bench import Bench
from workers.events import take_events

NATIONAL = "urn:national"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Three records: p1 replaced by p2; p3 has p2's number."""
    config = tmp_path / "vbq.yaml"
    config.write_text("{}")
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VBQ_CONFIG", str(config))
    database = with_tables(f"sqlite:///{tmp_path / 'vbq.sqlite3'}")
    link = {"link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]}
    known = {"identifier": [{"system": NATIONAL, "value": "1"}]}
    inbox = Inbox(database)
    for row in (records.patient("p1", **link), records.patient("p2", **known), records.patient("p3", **known)):
        inbox.accept(events_of(json.dumps(row).encode(), source="engine", base=None, several=False).events)
    bench = Bench.open(Settings(data_dir=tmp_path))
    take_events(bench, 0)
    bench.close()
    inbox.close()
    return database


def document(command: Any, *arguments: str) -> Any:
    done = CliRunner().invoke(command, [*arguments, "--json"], standalone_mode=False)
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def test_a_record_says_what_stands_in_its_place_and_who_is_the_same(site: Database) -> None:
    found = document(show_, "p1")
    assert (found["replaced_by"], found["records"]) == ("Patient/p2", ["Patient/p1", "Patient/p2"])
    assert found["ties"] == {"Patient/p1": ["replaced-by Patient/p2"]}
    assert document(show_, "Patient/nobody")["known"] is False
    refused = CliRunner().invoke(show_, ["Observation/o1"], standalone_mode=False)
    assert isinstance(refused.exception, NotAcceptable)


def test_after_a_system_is_trusted_the_stored_records_are_tied_and_assessed(site: Database, tmp_path: Path) -> None:
    assert document(relink_) == {"records": 3, "changed": 0, "asked": 0}
    assert document(show_, "p3")["records"] == ["Patient/p3"]
    (tmp_path / "vbq.yaml").write_text(yaml.safe_dump({"patient_identity": {"systems": [NATIONAL]}}))
    assert document(relink_)["changed"] == 2
    assert document(show_, "p3")["records"] == ["Patient/p3", "Patient/p1", "Patient/p2"]
    with site.read() as connection:
        asked = set(connection.scalars(select(jobs.c.patient).where(jobs.c.kind == "assess")))
        assert Patients(site).stated(connection, "Patient/p3")
    assert asked == {"Patient/p1", "Patient/p2", "Patient/p3"}
    assert document(relink_)["changed"] == 0, "twice is once"
