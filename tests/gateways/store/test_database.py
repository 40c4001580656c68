"""The database: its tables, its transactions, its errors."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from gateways.records import feedback
from gateways.store import audit_tables, ehr_tables, patient_tables, registry_tables, review_tables, subscription_tables
from gateways.store.database import Database
from gateways.store.tables import leases, metadata
from schemas.errors import NotConfigured, StoreUnavailable
from tests.databases import with_tables

ROW = {"name": "a", "holder": "b", "until": 1.0}


def test_the_migrations_make_exactly_the_tables_that_the_code_means(database: Database) -> None:
    parts = (feedback.feedback, registry_tables.models, review_tables.pictures, audit_tables.audit)
    more = (patient_tables.patient_ties, subscription_tables.subscriptions, ehr_tables.circuits)
    assert {row.name for row in (*parts, *more)} <= set(metadata.tables)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_and_at_once_is_harmless(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'deep' / 'er' / 'x.sqlite3'}"
    errors: list[Exception] = []

    def migrate() -> None:
        try:
            Database(url).migrate()
        except (StoreUnavailable, DBAPIError) as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    Database(url).check()


def test_a_block_that_fails_writes_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(leases.insert().values(ROW))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(leases)).all() == []


def test_sqlite_writes_through_to_the_disk(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with database.write() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]


def test_a_locked_database_is_unavailable_and_the_words_hold_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateways.store.database.BUSY_SECONDS", 0.1)
    path = tmp_path / "x.sqlite3"
    database = with_tables(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    def write() -> None:
        with database.write() as connection:
            connection.execute(leases.insert().values({**ROW, "holder": "CANARY"}))

    with pytest.raises(StoreUnavailable, match="database is locked") as caught:
        write()
    assert "CANARY" not in str(caught.value)
    holder.close()


def test_a_database_without_tables_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="vbq migrate"):
        Database(f"sqlite:///{tmp_path / 'x.sqlite3'}").check()


def test_a_database_that_is_away_is_unavailable() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailable):
        away.check()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "no url"])
def test_what_cannot_keep_events_is_not_configured(url: str) -> None:
    with pytest.raises(NotConfigured, match="VBQ_DATABASE_URL"):
        Database(url)


def test_a_prepared_statement_sees_what_was_committed_in_between(database: Database) -> None:
    from sqlalchemy import bindparam

    rows = database.prepared(select(leases.c.holder).where(leases.c.name == bindparam("name")))
    assert rows({"name": "a"}) == []
    with database.write() as connection:
        connection.execute(leases.insert().values(ROW))
    assert rows({"name": "a"}) == [("b",)]


def test_held_keys_keep_others_out(postgres_tables_url: str) -> None:
    database = Database(postgres_tables_url)
    order: list[str] = []
    inside, done = threading.Event(), threading.Event()

    def first() -> None:
        with database.write() as connection:
            database.hold(connection, ["Patient/p1", "Patient/p2"])
            inside.set()
            done.wait(0.3)
            order.append("first")

    def second() -> None:
        inside.wait(5)
        with database.write() as connection:
            database.hold(connection, ["Patient/p2"])
            order.append("second")

    threads: list[Any] = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert order == ["first", "second"]
