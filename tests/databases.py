"""Databases with tables, made once in a test process and copied: migrating one costs more than most tests do."""

import functools
import tempfile
from pathlib import Path

from sqlalchemy import make_url

from gateways.store.database import Database


@functools.cache
def _migrated_file() -> bytes:
    """A migrated SQLite database, whole in its one file: the last connection that closes folds the journal in."""
    with tempfile.TemporaryDirectory(prefix="vbqd") as place:
        path = Path(place) / "made.sqlite3"
        made = Database(f"sqlite:///{path}")
        made.migrate()
        made.close()
        return path.read_bytes()


def put_tables(path: Path) -> None:
    """Write a migrated SQLite database to `path`, where none may be yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(_migrated_file())


def with_tables(url: str) -> Database:
    """The database of `url`, migrated: a new SQLite file is a copy, any other is migrated as the program does it."""
    made = Database(url)
    if made.is_sqlite and not made.exists():
        put_tables(Path(make_url(url).database or ""))
    made.migrate()
    return made
