"""A FHIR server whose resources we fetch, and how what it holds is called here: as if its sender had pushed it."""

import datetime as dt
from dataclasses import dataclass, field

from gateways.fhir.client import FhirClient
from gateways.fhir.http import FhirHttp, Limits
from gateways.fhir.servers import ehr_client, reader
from gateways.settings import Settings
from schemas.config import Config, Sender
from schemas.errors import NotAcceptable, NotConfigured
from schemas.events import RELEVANT_TYPES, IncomingEvent
from schemas.fhir.events import events_of
from schemas.fhir.parse import SYNTAX_CODES, parse_json
from schemas.fhir.reference import ID, same_base
from schemas.fhir.resource_event import digest

OPEN = "default"  # what intake calls a sender where none is configured
EHR = "ehr"


@dataclass(frozen=True)
class Source:
    """`several`: whether more than one FHIR base is configured (schemas.fhir.reference.patient_key)."""

    name: str
    base: str
    several: bool
    aliases: tuple[str, ...] = ()
    types: frozenset[str] | None = None

    @property
    def relevant(self) -> list[str]:
        """The types that are read there."""
        return [kind for kind in RELEVANT_TYPES if self.types is None or kind in self.types]

    def events(self, body: bytes) -> "Events":
        """The events in a resource, or a Bundle of deletions. Nothing is dropped in silence."""
        try:
            parsed = events_of(
                body,
                source=self.name,
                base=self.base,
                several=self.several,
                arrival=dt.datetime.now(dt.UTC).isoformat(),
                aliases=self.aliases,
                types=self.types,
            )
        except NotAcceptable as error:
            made = None if error.reason_code in SYNTAX_CODES else self._unreadable(body)
            return Events([made] if made else [], [] if made else [error.reason_code])
        return Events(parsed.events, ["not-used"] * len(parsed.skipped))

    def _unreadable(self, body: bytes) -> IncomingEvent | None:
        """A resource that cannot be taken, as an event all the same: it becomes a dead letter that says why."""
        document = parse_json(body)
        kind, resource_id = document.get("resourceType"), document.get("id")
        if kind not in self.relevant or not isinstance(resource_id, str) or not ID.fullmatch(resource_id):
            return None
        return IncomingEvent(
            source=self.name,
            resource_type=str(kind),
            resource_id=resource_id,
            version=digest(document),
            patient=None,
            body=body,
        )


@dataclass(frozen=True)
class Events:
    """What a body holds, and a code for each thing in it that is passed over."""

    events: list[IncomingEvent]
    passed_over: list[str] = field(default_factory=list)


def of_sender(config: Config, name: str, limits: Limits) -> tuple[Source, FhirClient]:
    """The server of a configured sender. Raises NotConfigured where there is none, or it is not to be read."""
    sender = next((one for one in config.senders if one.name == name), None)
    if sender is None:
        known = ", ".join(one.name for one in config.senders) or "none"
        raise NotConfigured(f"the configuration has no such sender; it knows: {known}")
    return _source(config, sender), reader(sender, limits=limits)


def of_url(settings: Settings, url: str, limits: Limits) -> tuple[Source, FhirClient]:
    """The server at `url`: a sender's, the EHR that gets results, or, where no FHIR base is configured at all, any.

    Raises NotConfigured for another one: its patients could be taken for those of a configured server.
    """
    config = settings.structured()
    sender = next((one for one in config.senders if one.fhir_base_url and same_base(one.fhir_base_url, url)), None)
    if sender is not None:
        return of_sender(config, sender.name, limits)
    bases = [one.fhir_base_url for one in config.senders if one.fhir_base_url]
    if config.ehr is not None and same_base(config.ehr.base_url, url) and not bases:
        name = config.senders[0].name if len(config.senders) == 1 else EHR
        return Source(name, config.ehr.base_url.rstrip("/"), several=False), ehr_client(config.ehr, limits=limits)
    if bases or (config.ehr is not None and not same_base(config.ehr.base_url, url)):
        raise NotConfigured(
            "no sender has this address as its fhir_base_url; add it to `senders` in VBQ_CONFIG, with `reads`"
        )
    # An address that is typed is the operator's own choice, also within a private network.
    http = FhirHttp(url, limits=limits, private_network=True)
    name = config.senders[0].name if len(config.senders) == 1 else OPEN
    return Source(name, url.rstrip("/"), several=False), FhirClient(http)


def _source(config: Config, sender: Sender) -> Source:
    bases = {one.fhir_base_url.rstrip("/") for one in config.senders if one.fhir_base_url}
    types = None if sender.resource_types is None else frozenset(sender.resource_types)
    base = (sender.fhir_base_url or "").rstrip("/")
    return Source(sender.name, base, len(bases) > 1, tuple(sender.base_aliases), types)
