"""The outside systems of the service, made once at its start."""

import contextlib
from dataclasses import dataclass, field
from functools import cached_property

from gateways.audit.log import Audit
from gateways.audit.writer import AuditWriter
from gateways.fhir.ehr_reads import EhrReads
from gateways.queue.broker import Waker
from gateways.queue.inbox import Inbox
from gateways.records.feedback import Feedback
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import StoreUnavailable
from services.failed_logins import FailedLogins
from services.kickoff import Kickoff


@dataclass(frozen=True)
class Outside:
    """Everything that the views speak to."""

    database: Database
    inbox: Inbox
    results: Results
    feedback: Feedback
    models: Models
    waker: Waker
    reads: EhrReads = field(default_factory=EhrReads)

    @cached_property
    def audit(self) -> AuditWriter:
        """What writes down who read what."""
        return AuditWriter(Audit(self.database))

    @cached_property
    def failed_logins(self) -> FailedLogins:
        """What counts who was not let in."""
        return FailedLogins(self.audit)

    @cached_property
    def kickoff(self) -> Kickoff:
        """What writes down the facts that a hook call brought."""
        return Kickoff(self.inbox, self.waker)

    def close(self) -> None:
        """Write what was accepted and let go of everything."""
        self.reads.close()
        self.kickoff.close()
        self.failed_logins.close()
        self.audit.close()
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
