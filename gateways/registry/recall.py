"""Numbers of a model that was revoked do not stand: everybody whom it scored last is assessed again.

Where another model speaks, its number takes the place; where none may, the assessment is withdrawn and says why
(workers/assessing.py). Until a worker has done so the service withholds the number (services/card_answers.py).
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, and_, select

from gateways.queue.jobs import Jobs
from gateways.store.database import Database
from gateways.store.tables import CURRENT, assessments

BATCH: Final = 500


def recall(database: Database, digest: str) -> int:
    """Ask for everybody whose current assessment the model with this digest made; returns how many it were."""
    return _ask(database, and_(assessments.c.model == digest, assessments.c.state != "withdrawn"))


def revive(database: Database, revoked: Collection[str]) -> int:
    """Ask for everybody whose assessment was withdrawn with its model, now that another one may speak."""
    return _ask(database, and_(assessments.c.model.in_(sorted(revoked)), assessments.c.state == "withdrawn"))


def _ask(database: Database, which: ColumnElement[bool]) -> int:
    """In small transactions, so that live events are not kept waiting. Raises StoreUnavailable; again is harmless."""
    jobs = Jobs(database)
    asked, last = 0, ""
    while True:
        some = select(assessments.c.id, assessments.c.patient).where(CURRENT, which, assessments.c.id > last)
        with database.write() as connection:
            found = connection.execute(some.order_by(assessments.c.id).limit(BATCH)).all()
            for row in found:
                jobs.bump(connection, "assess", row.patient, row.patient)
        asked += len(found)
        if len(found) < BATCH:
            return asked
        last = found[-1].id
