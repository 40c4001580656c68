"""The database: SQLite in WAL mode or PostgreSQL, by URL. Transactions, migrations, and one mapping of its errors."""

import contextlib
import operator
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Select

from gateways.store.schema_version import MIGRATIONS, alone, layout, newest, refuse_newer, refuse_older, upgrade
from schemas.errors import NotConfigured, StoreUnavailable

MIGRATION_LOCK = 0x56425143  # "VBQC": the PostgreSQL advisory lock that migrations take
BUSY_SECONDS = 10.0

Rows = list[tuple[Any, ...]]
Transaction = Connection  # what a caller above holds open and hands back to the gateways


class Database:
    """Connections to one database. Safe to share between threads, not across a fork: make it after the fork."""

    def __init__(self, url: str) -> None:
        """`url` is an SQLAlchemy URL: sqlite:///PATH or postgresql://... (psycopg 3). Raises NotConfigured."""
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise NotConfigured("VBQ_DATABASE_URL is not a database URL; see docs/configuration.md") from error
        backend = parsed.get_backend_name()
        if backend == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif backend != "sqlite":
            raise NotConfigured("VBQ_DATABASE_URL must begin with sqlite: or postgresql:")
        elif not parsed.database or parsed.database == ":memory:":
            raise NotConfigured("VBQ_DATABASE_URL names no file: a database in memory would lose what was accepted")
        self.is_sqlite = backend == "sqlite"
        self._path = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self._threads = threading.local()
        self._insert_texts: dict[tuple[str, tuple[str, ...]], tuple[str, Callable[[Mapping[str, Any]], Any]]] = {}
        self._engine = self._sqlite(parsed) if self.is_sqlite else self._postgresql(parsed)
        self._writer = self._engine.execution_options(vbq_write=True)

    def _sqlite(self, url: Any) -> Engine:
        engine = create_engine(url, pool_size=16, max_overflow=16, pool_timeout=BUSY_SECONDS)
        event.listen(engine, "connect", lambda connection, _: _prepare(connection))
        event.listen(engine, "begin", _begin)
        return engine

    def _postgresql(self, url: Any) -> Engine:
        from gateways.store.patient_connection import connect  # psycopg: 7 MB that a service over SQLite need not hold

        # Keepalives find a peer that is gone, patience one that is there and says nothing (patient_connection).
        alive = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=16,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "application_name": "vbq-cds", **alive},
        )
        event.listen(engine, "do_connect", lambda _dialect, _record, _args, given: connect(given))
        return engine

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view. Raises StoreUnavailable."""
        with _as_our_errors(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is on disk when the block ends, or not at all. Raises StoreUnavailable."""
        with _as_our_errors(), self._writer.begin() as connection:
            yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """INSERT with the ON CONFLICT that both databases know."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def hold(self, connection: Connection, keys: Sequence[str]) -> None:
        """Until the transaction ends nobody else holds any of `keys`. On SQLite a write transaction is alone anyway."""
        if self.is_sqlite:
            return
        for number in sorted({zlib.crc32(key.encode()) for key in keys}):  # sorted: no two transactions can deadlock
            connection.execute(text("SELECT pg_advisory_xact_lock(:space, :key)"), {"space": 1, "key": number - 2**31})

    def prepared(self, statement: Select[Any]) -> Callable[[Mapping[str, Any]], Rows]:
        """`statement` as a function of its bind parameters, for the hot path of the service.

        On SQLite it goes to the driver directly (some microseconds; SQLAlchemy's own machinery costs ten times that).
        """
        if not self.is_sqlite:
            return lambda parameters: self._rows(statement, parameters)
        compiled = statement.compile(dialect=self._engine.dialect)
        sql, names = str(compiled), tuple(compiled.positiontup or ())
        literal = {name: value for name, value in compiled.params.items() if value is not None}

        def rows(parameters: Mapping[str, Any]) -> Rows:
            values = {**literal, **parameters}
            with _as_our_errors():
                cursor = self._direct().execute(sql, tuple(values[name] for name in names))
                return cursor.fetchall()

        return rows

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int] | None:
        """The ids of `rows` of `table`, in order, on disk. None, with nothing written, where one of them is there
        already or is refused, and on PostgreSQL: then say it at length, in a `write`.

        For the hot path of the service: a commit on SQLite by SQLAlchemy costs several times the commit itself.
        """
        if not self.is_sqlite:
            return None
        names = tuple(rows[0])
        with _as_our_errors():
            connection = self._direct(cache_kib=4000)  # indexes are searched
            connection.execute("BEGIN IMMEDIATE")
            try:
                sql, values = self._insert_text(table, names)
                ids = _inserted(connection, sql, [values(row) for row in rows])
                if ids is not None:
                    connection.execute("COMMIT")
                return ids
            except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError, ValueError, OverflowError):
                return None  # `write` says what is wrong
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _insert_text(self, table: Table, names: tuple[str, ...]) -> tuple[str, Callable[[Mapping[str, Any]], Any]]:
        """The statement, and what takes its parameters from a row."""
        found = self._insert_texts.get((table.name, names))
        if found is None:
            statement = sqlite.insert(table).on_conflict_do_nothing()
            compiled = statement.compile(dialect=self._engine.dialect, column_keys=list(names))
            found = str(compiled), operator.itemgetter(*(compiled.positiontup or ()))
            self._insert_texts[table.name, names] = found
        return found

    def _rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Rows:
        with self.read() as connection:
            return [tuple(row) for row in connection.execute(statement, dict(parameters))]

    def _direct(self, *, cache_kib: int = 512) -> sqlite3.Connection:
        """The calling thread's own connection, in autocommit: each statement sees what is committed."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(str(self._path), timeout=BUSY_SECONDS, isolation_level=None)
            _prepare(connection, cache_kib=cache_kib)  # one for each thread of the service
            self._threads.connection = connection
        return connection

    def migrate(self) -> None:
        """Bring the tables to the newest layout. Two processes may call at once: the second waits for the first.

        Raises NotConfigured where a newer program made them, StoreUnavailable where an upgrade failed and was undone.
        """
        known = newest(MIGRATIONS)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with self.read() as connection:  # the usual start finds them as they should be, and waits for nobody
            found = layout(connection)
        refuse_newer(found, known)
        if found == known:
            return
        with alone(self) if self.is_sqlite else self.write() as connection:
            if not self.is_sqlite:
                from gateways.store.patient_connection import wait_long

                wait_long(connection.connection.driver_connection)  # another migration, or a long one of ours
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            upgrade(connection, MIGRATIONS)
        if not self.is_sqlite:
            self._engine.dispose()  # its connection would go on waiting long

    def check(self) -> None:
        """Return if the database answers and has its tables; raises StoreUnavailable with the next step otherwise.

        Tables of a newer layout are no obstacle to a process that is at work: while versions are exchanged one after
        the other, the older ones go on.
        """
        with self.read() as connection:
            refuse_older(layout(connection), newest(MIGRATIONS))

    def exists(self) -> bool:
        """Whether there is a database to ask: asking makes the file of an SQLite database that is not there yet."""
        return self._path is None or self._path.is_file()

    def has_table(self, name: str) -> bool:
        """Whether the database has the table."""
        with self.read() as connection:
            return inspect(connection).has_table(name)

    def close(self) -> None:
        """Close every connection that this thread can close."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is not None:
            connection.close()
            self._threads.connection = None
        self._engine.dispose()


def _prepare(connection: Any, *, cache_kib: int = 4000) -> None:
    """Settings of every SQLite connection. FULL: a commit that was answered survives a power cut."""
    connection.isolation_level = None  # we say BEGIN ourselves (see _begin)
    for pragma in (
        f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{cache_kib}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _inserted(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> list[int] | None:
    """The ids of the new rows; None where one was there already."""
    ids = []
    for row in rows:
        cursor = connection.execute(sql, row)
        if cursor.rowcount != 1 or cursor.lastrowid is None:
            return None
        ids.append(cursor.lastrowid)
    return ids


def _begin(connection: Connection) -> None:
    """Writers take the lock at once: a reader that turns into a writer half-way fails without waiting its turn."""
    writes = connection.get_execution_options().get("vbq_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _as_our_errors() -> Iterator[None]:
    """The one place where the driver's errors become ours. The driver's text may hold values, so it stays behind."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, sqlite3.OperationalError) as error:
        raise StoreUnavailable(f"the database did not answer or could not write ({_kind(error)})") from error


def _kind(error: BaseException) -> str:
    """What kind of failure it was, in words that hold no values."""
    if isinstance(error, PoolTimeout):
        return "no free connection"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = str(cause).lower()
    known = ("database is locked", "disk is full", "no such table", "readonly database", "unable to open", "i/o error")
    return next((phrase for phrase in known if phrase in words), type(cause).__name__)
