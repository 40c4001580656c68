"""Who may look at which patient's results for some minutes, after a SMART launch. The same at all replicas.

The browser holds a random id, the table its SHA-256: whoever reads the table cannot open a page with it.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import delete, select

from gateways.store.database import Database
from gateways.store.review_tables import review_sessions


class ReviewSession(NamedTuple):
    """`client`: the CDS client whose EHR vouched; `patient`: a patient key."""

    client: str
    patient: str
    until: float


class ReviewSessions:
    """The table. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def open(self, client: str, patient: str, seconds: float) -> str:
        """A new session; returns what the browser is to hold. Sessions that are over go. Raises StoreUnavailable."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        row = {"id": _digest(token), "client": client, "patient": patient, "until": now + seconds}
        with self._database.write() as connection:
            connection.execute(delete(review_sessions).where(review_sessions.c.until < now))
            connection.execute(review_sessions.insert().values(row))
        return token

    def get(self, token: str) -> ReviewSession | None:
        """The session that a browser holds; None where there is none or its time is over. Raises StoreUnavailable."""
        if not token or len(token) > 128:
            return None
        with self._database.read() as connection:
            row = connection.execute(
                select(review_sessions).where(review_sessions.c.id == _digest(token))
            ).one_or_none()
        if row is None or row.until <= self._clock():
            return None
        return ReviewSession(row.client, row.patient, row.until)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
