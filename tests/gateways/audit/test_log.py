"""The audit log: one chain however many write, and nothing can be done to it unseen."""

import datetime as dt
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateways.audit.log import Audit, sealed
from gateways.audit.writer import AuditWriter
from gateways.store.audit_tables import audit, audit_head
from gateways.store.database import Database
from schemas.audit import AuditEntry
from schemas.errors import StoreUnavailable
from schemas.fhir.audit_event import BALP, audit_event
from schemas.fhir.full import validate
from tests.databases import with_tables


def entry(number: int = 0, **changes: Any) -> AuditEntry:
    whole: dict[str, Any] = {
        "actor_kind": "cds-client",
        "actor": "ehr-1",
        "action": "cards-read",
        "patient": f"Patient/p{number}",
        "entity": f"RiskAssessment/r{number}",
        "detail": {"hook": "patient-view"},
        **changes,
    }
    return AuditEntry(**whole)


@pytest.fixture
def log(database: Database) -> Audit:
    made = Audit(database)
    for number in range(6):
        made.write([entry(number)])
    return made


def tamper(database: Database, statement: str) -> None:
    """What somebody with the database's password can do: switch the guard off and write."""
    with database.write() as connection:
        if database.is_sqlite:
            for name in ("audit_no_update", "audit_no_delete"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        connection.execute(text(statement))


def codes(log: Audit, *checkpoints: Any) -> list[str]:
    return [row.code for row in log.verify(checkpoints).problems]


def test_a_log_that_nobody_touched_is_whole(log: Audit) -> None:
    found = log.verify([log.checkpoint()])
    assert (found.ok, found.rows, found.erased_rows) == (True, 6, 0)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit SET actor = 'somebody' WHERE sequence = 3", ["changed"]),
        ("UPDATE audit SET patient = 'Patient/other' WHERE sequence = 3", ["changed"]),
        ("UPDATE audit SET recorded = recorded + 1 WHERE sequence = 6", ["changed"]),
        ("DELETE FROM audit WHERE sequence = 3", ["missing"]),
        ("DELETE FROM audit WHERE sequence < 3", ["missing"]),
        ("DELETE FROM audit WHERE sequence > 4", ["short"]),
        ("DELETE FROM audit", ["short"]),
        ("DELETE FROM audit_head", ["head"]),
        ("UPDATE audit SET patient = NULL, entity = NULL, salt = NULL WHERE sequence = 2", ["erased"]),
        ("UPDATE audit SET sequence = -5 WHERE sequence = 1", ["order", "changed", "missing"]),
    ],
)
def test_whatever_is_done_to_it_is_seen(database: Database, log: Audit, statement: str, expected: list[str]) -> None:
    tamper(database, statement)
    found = codes(log)
    assert found[: len(expected)] == expected


def test_rows_that_change_places_are_seen(database: Database, log: Audit) -> None:
    tamper(database, "UPDATE audit SET sequence = 100 WHERE sequence = 2")
    tamper(database, "UPDATE audit SET sequence = 2 WHERE sequence = 3")
    tamper(database, "UPDATE audit SET sequence = 3 WHERE sequence = 100")
    assert {"changed", "link"} <= set(codes(log))


def test_a_tail_that_was_cut_off_together_with_the_head_is_seen_by_a_checkpoint_alone(
    database: Database, log: Audit
) -> None:
    kept = log.checkpoint()
    last = next(row for row in log.rows() if row.sequence == 4)
    tamper(database, "DELETE FROM audit WHERE sequence > 4")
    tamper(database, f"UPDATE audit_head SET sequence = 4, hash = '{last.hash}'")
    assert codes(log) == []
    assert codes(log, kept) == ["short"]
    log.write([entry(7), entry(8)])  # and written anew with other rows
    assert codes(log, kept) == ["checkpoint"]


def test_the_database_itself_refuses_to_change_or_remove_a_row(database: Database, log: Audit) -> None:
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "UPDATE audit SET patient = 'Patient/x'"):
        with pytest.raises(DBAPIError, match="audit only grows"), database.write() as connection:
            connection.execute(text(statement))
    assert log.verify().ok


def test_an_erasure_takes_out_whom_a_row_is_about_and_leaves_the_chain_whole(database: Database, log: Audit) -> None:
    with database.write() as connection:
        erased = log.erase(connection, ["Patient/p2"])
        log.append(connection, [entry(action="erased", patient=None, entity=None, detail={"audit_rows": erased})])
    found = log.verify()
    assert (found.ok, found.erased_rows) == (True, 1)
    row = next(row for row in log.rows() if row.sequence == 3)
    assert (row.patient, row.entity, row.erased) == (None, None, True)
    assert list(log.rows(patient="Patient/p2")) == []


def test_a_transaction_that_fails_leaves_no_entry(database: Database, log: Audit) -> None:
    def fail() -> None:
        with database.write() as connection:
            log.append(connection, [entry(9)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert log.count() == 6


def write_many(url: str, name: str) -> None:
    database = Database(url)
    log = Audit(database)
    for number in range(15):
        log.write([entry(number, actor=name), entry(number, actor=name)])
    database.close()


def test_several_processes_make_one_chain(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = (
        f"sqlite:///{tmp_path / 'test.sqlite3'}"
        if database.is_sqlite
        else request.getfixturevalue("postgres_tables_url")
    )
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(url, f"p{number}")) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    log = Audit(database)
    assert (log.verify().ok, log.count()) == (True, 60)


def test_rows_are_found_by_patient_time_and_action(database: Database) -> None:
    moments: Iterator[float] = iter([1000.0, 2000.0, 3000.0])
    log = Audit(database, clock=lambda: next(moments))
    for action in ("cards-read", "resource-read", "cards-read"):
        log.write([entry(action=action)])
    since = dt.datetime.fromtimestamp(2000, dt.UTC)
    assert [row.sequence for row in log.rows(since=since)] == [2, 3]
    assert [row.sequence for row in log.rows(until=since)] == [1]
    assert [row.sequence for row in log.rows(action="cards-read", patient="Patient/p0")] == [1, 3]


def test_the_writer_writes_in_batches_and_everything_before_it_ends(database: Database) -> None:
    writer = AuditWriter(Audit(database))

    def call() -> None:
        for number in range(50):
            writer.note(entry(number))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert (Audit(database).count(), Audit(database).verify().ok) == (200, True)


def test_a_read_that_cannot_be_recorded_is_refused_and_the_log_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateways.store.database.BUSY_SECONDS", 0.1)
    path = tmp_path / "x.sqlite3"
    database = with_tables(f"sqlite:///{path}")
    writer = AuditWriter(Audit(database), most_waiting=3)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    def overfill() -> None:
        writer.note(entry())
        time.sleep(0.3)  # the writer holds it now and waits for the database
        for number in range(4):
            writer.note(entry(number))

    with pytest.raises(StoreUnavailable) as caught:
        overfill()
    assert (caught.value.reason_code, caught.value.retry_after_s) == ("audit-full", 5.0)
    holder.execute("ROLLBACK")
    holder.close()
    until = time.monotonic() + 10
    while Audit(database).count() < 3 and time.monotonic() < until:
        time.sleep(0.05)
    writer.close()
    assert Audit(database).count() >= 3
    database.close()


def test_a_log_that_somebody_wrote_into_is_said_and_ends_no_thread(tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    foreign = sealed(entry(), sequence=1, recorded=0.0, previous="", salt="00")
    with database.write() as connection:
        connection.execute(audit.insert().values(foreign))
    writer = AuditWriter(Audit(database))
    writer.note(entry())
    with pytest.raises(StoreUnavailable, match="IntegrityError"):
        Audit(database).write([entry()])
    with database.write() as connection:
        connection.execute(audit_head.update().values(sequence=1, hash=foreign["hash"]))
    writer.close()
    assert Audit(database).count() == 2, "what waited is written when it can be"
    database.close()


@pytest.mark.parametrize(
    ("changes", "profile"),
    [
        ({}, "PatientRead"),
        ({"entity": None}, None),
        ({"action": "resource-read", "patient": None, "entity": "Device/d1"}, "Read"),
        ({"action": "resource-search", "entity": "RiskAssessment?patient=Patient%2Fp0"}, "PatientQuery"),
        ({"action": "resource-search", "patient": None, "entity": "Device?"}, "Query"),
        ({"action": "result-created", "detail": {"state": "complete"}}, "PatientCreate"),
        ({"action": "result-superseded"}, "PatientUpdate"),
        ({"action": "resource-updated", "actor_kind": "sender", "entity": "Observation/o1"}, "PatientUpdate"),
        ({"action": "resource-deleted", "actor_kind": "sender", "entity": "Observation/o1"}, "PatientDelete"),
        ({"action": "result-sent", "detail": {"to": "https://ehr.example/fhir", "superseded": False}}, "PatientCreate"),
        ({"action": "cards-read", "detail": {"hook": "patient-view", "user": "Practitioner/x"}}, "PatientRead"),
        ({"action": "cards-read", "outcome": "failure"}, None),
        ({"action": "erased", "patient": None, "entity": None, "detail": {"audit_rows": 2}}, None),
        ({"action": "model-changed", "patient": None, "entity": None, "actor_kind": "command"}, None),
    ],
)
def test_every_row_is_a_valid_audit_event(database: Database, changes: dict[str, Any], profile: str | None) -> None:
    log = Audit(database)
    log.write([entry(**changes)])
    (row,) = log.rows()
    event = audit_event(row, software="vbq-cds 1")
    validate(event)
    assert event.get("meta", {}).get("profile") == ([f"{BALP}.{profile}"] if profile else None)
    assert audit_event(row, software="vbq-cds 1") == event
    patients = [one for one in event["entity"] if one.get("role", {}).get("code") == "1"]
    assert len(patients) == (1 if row.patient else 0)
