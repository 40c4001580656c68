"""The outside systems of the service, made once at its start."""

import contextlib
from dataclasses import dataclass

from gateways.broker import Waker
from gateways.database import Database
from gateways.feedback import Feedback
from gateways.inbox import Inbox
from gateways.models import Models
from gateways.results import Results
from gateways.settings import Settings
from schemas.errors import StoreUnavailable


@dataclass(frozen=True)
class Outside:
    """Everything that the views speak to."""

    database: Database
    inbox: Inbox
    results: Results
    feedback: Feedback
    models: Models
    waker: Waker

    def close(self) -> None:
        """Write what was accepted and let go of everything."""
        self.inbox.close()
        self.waker.close()
        self.database.close()


def connect(settings: Settings) -> Outside:
    """The outside systems of `settings`. Raises NotConfigured or ModelRefused where the service could not work."""
    database = Database(settings.database)
    models = Models(settings, database)
    with contextlib.suppress(StoreUnavailable):  # /readyz says so until it is back
        models.deployed()
    return Outside(
        database=database,
        inbox=Inbox(database, lease_seconds=settings.lease_seconds),
        results=Results(database),
        feedback=Feedback(database),
        models=models,
        waker=Waker(settings),
    )
