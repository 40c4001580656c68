"""Which layout the tables have, and bringing them to the one that this program knows. One process at a time does it.

A whole upgrade is one transaction (both databases can undo changes of tables), so one that fails half-way leaves the
layout from before. A database of a newer program is refused: an older one would write rows that the newer cannot read.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import NotConfigured, StoreUnavailable

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "alembic_version"
# As long as another process may take for its upgrade before we give up waiting for it.
WAIT_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 0.2


class Upgradable(Protocol):
    """What of a Database an upgrade needs."""

    def read(self) -> AbstractContextManager[Connection]: ...

    def write(self) -> AbstractContextManager[Connection]: ...


def newest(migrations: Path) -> str:
    """The layout that this program knows: the number of its last migration."""
    names = (path.stem for path in (migrations / "versions").glob("[0-9]*.py"))
    return max(match[1] for name in names if (match := re.match(r"(\d{4})_", name)))


def layout(connection: Connection) -> str | None:
    """The layout of the tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 - a constant
    return str(found) if found is not None else None


def refuse_newer(found: str | None, known: str) -> None:
    """Raises NotConfigured where a newer program made the tables."""
    if found is not None and found > known:
        raise NotConfigured(
            f"a newer version of this program made the database (layout {found}; this one knows {known}): update the "
            "program, or restore the backup from before the update",
            code="database-newer",
        )


def refuse_older(found: str | None, known: str) -> None:
    """Raises StoreUnavailable where the tables are not there, or not all of them."""
    if found is None:
        raise StoreUnavailable("the database has no tables yet; run `vbq migrate`", code="database-empty")
    if found < known:
        raise StoreUnavailable(
            f"the database has the layout {found} of an older version (this one needs {known}); run `vbq migrate`",
            code="database-older",
        )


def upgrade(connection: Connection, migrations: Path) -> None:
    """Bring the tables to `newest` within the caller's transaction, which must hold the lock.

    Raises NotConfigured where they are newer already, StoreUnavailable where a migration failed: nothing was changed.
    """
    known, found = newest(migrations), layout(connection)
    refuse_newer(found, known)
    if found == known:  # another process was quicker
        return
    from alembic import command  # 0.2 s that a start without an upgrade need not pay
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except (SQLAlchemyError, CommandError, LookupError, ValueError) as error:
        raise StoreUnavailable(
            f"an upgrade of the database failed ({type(error).__name__}) and was undone; it has the layout "
            f"{found or 'of an empty database'} as before. Keep running the old version, and report this line",
            code="migration-failed",
        ) from error


@contextlib.contextmanager
def alone(database: Upgradable) -> Iterator[Connection]:
    """A write transaction on SQLite, whose lock waits much longer than a worker would. Raises StoreUnavailable."""
    until = time.monotonic() + WAIT_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                connection = stack.enter_context(database.write())
            except StoreUnavailable as error:
                if "locked" not in error.detail or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
                continue
            break
        yield connection
