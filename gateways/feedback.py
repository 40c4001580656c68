"""What clinicians did with the cards: kept once, however often an EHR tells it."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Float, LargeBinary, String, Table

from gateways.database import Database
from gateways.tables import metadata

feedback = Table(
    "feedback",
    metadata,
    Column("service", String(64), primary_key=True),
    Column("card", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("outcome_timestamp", String(40), primary_key=True, comment="as sent, RFC 3339"),
    Column("client", String(64), nullable=False),
    Column("received", Float, nullable=False, comment="seconds since 1970"),
    Column("body", LargeBinary, nullable=False, comment="the entry as sent; a user's comment may name a patient"),
)


class CardFeedback(NamedTuple):
    """One entry of a feedback message."""

    card: str
    outcome: str
    outcome_timestamp: str
    body: bytes


class Feedback:
    """The feedback table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, service: str, client: str, entries: Sequence[CardFeedback]) -> int:
        """Write `entries` in one transaction; returns how many are new. Raises StoreUnavailable."""
        received = time.time()
        rows = [
            {**entry._asdict(), "service": service, "client": client, "received": received} for entry in set(entries)
        ]
        if not rows:
            return 0
        statement = self._database.insert(feedback).on_conflict_do_nothing().returning(feedback.c.card)
        with self._database.write() as connection:
            return len(connection.execute(statement, rows).fetchall())
