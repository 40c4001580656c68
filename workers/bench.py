"""What a worker process holds in its hands: made once per process, after the fork."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from gateways.audit.log import Audit
from gateways.dicom.decoder import Decoder, decoder_of
from gateways.fhir.circuit import Circuit
from gateways.fhir.ehr_sends import EhrSends
from gateways.fhir.servers import FhirServers
from gateways.pacs.study_cache import StudyCache, cache_of
from gateways.queue.broker import Sender, WakeKind
from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from gateways.records.facts import Facts
from gateways.records.patients import Patients
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.registry.shadows import Shadows
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.config import Config
from schemas.errors import BrokerUnavailable
from vbq.imaging.network import Network, load_network

SOFTWARE = "vbq-cds"


@dataclass(frozen=True)
class Bench:
    """Settings and the outside systems of one worker process."""

    settings: Settings
    config: Config
    database: Database
    inbox: Inbox
    jobs: Jobs
    facts: Facts
    patients: Patients
    audit: Audit
    results: Results
    models: Models
    shadows: Shadows
    sender: Sender
    software: str

    @classmethod
    def open(cls, settings: Settings) -> "Bench":
        """Raises NotConfigured where the configuration is wrong. Opens no connection yet."""
        database = Database(settings.database)
        config = settings.structured()
        return cls(
            settings=settings,
            config=config,
            database=database,
            inbox=Inbox(database, lease_seconds=settings.claim_seconds),
            jobs=Jobs(database, lease_seconds=settings.claim_seconds),
            facts=Facts(database),
            patients=Patients(database, systems=config.patient_identity.systems),
            audit=Audit(database),
            results=Results(database),
            models=Models(settings, database),
            shadows=Shadows(database),
            sender=Sender(settings),
            software=f"{SOFTWARE} {version(SOFTWARE)}",
        )

    @cached_property
    def network(self) -> Network:
        """The segmentation network, loaded for the first study without regions (a session does not survive a fork)."""
        return load_network()

    @cached_property
    def cache(self) -> StudyCache:
        """Series that were fetched."""
        return cache_of(self.settings)

    @cached_property
    def decoder(self) -> Decoder:
        """The child process that reads DICOM files, started for the first study and kept for the next ones."""
        return decoder_of(self.settings)

    @cached_property
    def sends(self) -> EhrSends:
        """Sends to the EHR whose end was not seen."""
        return EhrSends(self.database)

    @cached_property
    def servers(self) -> FhirServers:
        """The FHIR servers that this process speaks to: connections and access tokens are kept."""
        return FhirServers(self.config, breaker=lambda system: Circuit(self.database, system))

    def now(self) -> dt.datetime:
        """The time, in UTC."""
        return dt.datetime.now(dt.UTC)

    def wake(self, kind: WakeKind, row: int) -> None:
        """Have a worker look at a row soon. Without a broker the sweeper finds it."""
        try:
            self.sender.send(kind, row)
        except BrokerUnavailable:
            return

    def close(self) -> None:
        if "servers" in vars(self):
            self.servers.close()
        if "decoder" in vars(self):
            self.decoder.close()
        self.sender.close()
        self.database.close()
