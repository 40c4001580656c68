"""The layout of the tables: upgraded once whoever starts, refused where it is newer, whole where an upgrade fails."""

import multiprocessing
import shutil
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

import gateways.store.database as module
from gateways.store.database import Database
from gateways.store.schema_version import MIGRATIONS, layout, newest
from schemas.errors import NotConfigured, StoreUnavailable

FAILING = '''"""One that fails half-way."""
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{last}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("half", sa.Column("id", sa.Integer()))
    op.execute("INSERT INTO half (id) VALUES (1)")
    op.execute("INSERT INTO nowhere (id) VALUES (1)")
'''


def layout_of(database: Database) -> str | None:
    with database.read() as connection:
        return layout(connection)


def pretend(database: Database, version: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def start(url: str, done: "multiprocessing.Queue[str]") -> None:
    database = Database(url)
    database.migrate()
    done.put(layout_of(database) or "none")
    database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_processes_that_start_at_once_upgrade_once(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    context = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=start, args=(url, done)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert {done.get(timeout=5) for _ in processes} == {newest(MIGRATIONS)}


def test_a_database_of_a_newer_program_is_refused_in_words_and_left_as_it_is(database: Database) -> None:
    pretend(database, "9999")
    with pytest.raises(NotConfigured, match="a newer version of this program") as caught:
        database.migrate()
    assert caught.value.reason_code == "database-newer"
    assert layout_of(database) == "9999"
    database.check()  # a process that is at work goes on while versions are exchanged


def test_a_database_of_an_older_program_names_the_next_step(database: Database) -> None:
    pretend(database, "0003")
    with pytest.raises(StoreUnavailable, match=r"layout 0003 .* run `vbq migrate`"):
        database.check()


def test_an_upgrade_that_fails_half_way_is_undone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    last = newest(MIGRATIONS)
    (copy / "versions" / "9000_fails.py").write_text(FAILING.format(last=last))
    monkeypatch.setattr(module, "MIGRATIONS", copy)
    with pytest.raises(StoreUnavailable) as caught:
        database.migrate()
    assert caught.value.reason_code == "migration-failed"
    assert f"the layout {last} as before" in caught.value.detail
    assert "nowhere" not in caught.value.detail
    assert layout_of(database) == last
    with database.read() as connection:
        assert not inspect(connection).has_table("half")
    monkeypatch.undo()
    database.migrate()
    database.check()
