"""Who was not let in is in the audit log: counted, without who it was."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from gateways.audit.log import Audit
from gateways.audit.writer import AuditWriter
from gateways.store.database import Database
from schemas.audit import AuditRow
from services.failed_logins import MOST_SOURCES, OTHERS, FailedLogins
from services.outside import Outside
from services.rsgi import Entry
from services.web import Service


@pytest.fixture
def writer(sqlite_database: Database) -> Iterator[AuditWriter]:
    made = AuditWriter(Audit(sqlite_database))
    yield made
    made.close()


def rows(database: Database) -> list[AuditRow]:
    log = Audit(database)
    assert log.verify().ok
    return list(log.rows())


def test_a_thousand_knocks_are_one_row(sqlite_database: Database, writer: AuditWriter) -> None:
    failed = FailedLogins(writer)
    for _ in range(1000):
        failed.seen(401, "/events/Observation/o1", "10.0.0.7")
    failed.seen(401, "/cds-services", "10.0.0.7")
    failed.seen(200, "/events", "10.0.0.7")
    failed.seen(403, "/events", "10.0.0.7")  # somebody whom we know
    failed.seen(403, "/callback", "10.0.0.8")
    failed.close()
    writer.close()
    found = {(row.detail["door"], row.detail["count"]): row for row in rows(sqlite_database)}
    assert set(found) == {("events", 1000), ("cds-services", 1), ("callback", 1)}
    row = found["events", 1000]
    assert (row.actor_kind, row.action, row.outcome, row.patient, row.entity) == (
        *("stranger", "login-failed", "failure"),
        *(None, None),
    )
    assert row.actor == found["cds-services", 1].actor != found["callback", 1].actor
    said = "".join(one.model_dump_json() for one in found.values())
    assert "10.0.0" not in said
    assert hashlib.sha256(b"10.0.0.7").hexdigest()[:12] not in said, "an address could be found by trying all"


def test_many_addresses_do_not_make_many_rows(sqlite_database: Database, writer: AuditWriter) -> None:
    failed = FailedLogins(writer)
    for number in range(500):
        failed.seen(401, f"/odd-{number}", f"10.0.{number % 256}.{number // 256}")
    failed.close()
    writer.close()
    found = rows(sqlite_database)
    assert len(found) == MOST_SOURCES + 1
    assert {row.detail["door"] for row in found} == {"other"}
    assert next(row.detail["count"] for row in found if row.actor == OTHERS) == 500 - MOST_SOURCES


def test_a_window_ends_by_itself(sqlite_database: Database, writer: AuditWriter) -> None:
    failed = FailedLogins(writer, window_seconds=0.1)
    for _ in range(2):
        failed.seen(401, "/fhir/RiskAssessment", "10.0.0.7")
        until = time.monotonic() + 20
        before = Audit(sqlite_database).count()
        while Audit(sqlite_database).count() == before and time.monotonic() < until:
            time.sleep(0.02)
    found = rows(sqlite_database)
    assert [row.detail["count"] for row in found] == [1, 1]
    assert len({row.actor for row in found}) == 1


def test_an_orderly_stop_of_the_web_server_writes_what_was_counted(
    app: Service, outside: Outside, client: FlaskClient
) -> None:
    assert client.post("/events", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert rows(outside.database) == []
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        Entry(app).__rsgi_del__(loop)
    assert [row.detail["count"] for row in rows(outside.database)] == [1]


@pytest.mark.parametrize(
    ("method", "path", "door"),
    [
        ("POST", "/events", "events"),
        ("PUT", "/events/Observation/o1", "events"),
        ("POST", "/cds-services/bone-quality-order-sign", "cds-services"),
        ("GET", "/cds-services", "cds-services"),
        ("GET", "/fhir/RiskAssessment?patient=Patient/p1", "fhir"),
        ("GET", "/launch?iss=https://other.example&launch=x", "launch"),
        ("GET", "/callback?state=x&code=y", "callback"),
    ],
)
def test_every_door_counts(outside: Outside, client: FlaskClient, method: str, path: str, door: str) -> None:
    headers = {"Authorization": "Bearer wrong", "Content-Type": "application/json"}
    answer = client.open(path, method=method, headers=headers, data="{}" if method != "GET" else None)
    assert answer.status_code in (401, 403)
    outside.failed_logins.close()
    outside.audit.close()
    (row,) = rows(outside.database)
    assert (row.action, row.detail["door"], row.detail["count"]) == ("login-failed", door, 1)
    assert "wrong" not in row.model_dump_json()
