"""PostgreSQL connections that do not wait for ever: a half-open network says nothing, not even that it is broken."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

PATIENCE_SECONDS = 20.0
MIGRATION_SECONDS = 3600.0
LOOK_SECONDS = 0.1


class PatientConnection(psycopg.Connection[Any]):
    """Gives up on a statement after `patience` seconds and closes itself: its state is unknown then."""

    patience = PATIENCE_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = LOOK_SECONDS, timeout: float | None = None) -> RV:
        """Raises OperationalError where the server said nothing in time; what was not committed is then void."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - psycopg gives its timeout no public name
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer within {self.patience:.0f} s; the connection was closed"
            ) from error


def connect(parameters: Mapping[str, Any]) -> PatientConnection:
    """A connection with libpq's `parameters`."""
    return PatientConnection.connect(**parameters)


def wait_long(connection: object) -> None:
    """Let this connection wait for as long as a migration may take."""
    if isinstance(connection, PatientConnection):
        connection.patience = MIGRATION_SECONDS
