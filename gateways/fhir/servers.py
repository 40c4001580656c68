"""The FHIR servers of the configuration as clients: the EHR that gets results, and the senders' servers that we read.

A process keeps one `FhirServers`: connections, access tokens and what is known of each server live as long as it does.
"""

import os
from collections.abc import Callable, Mapping
from typing import TypedDict

from gateways.access.logins import READING, READING_AND_WRITING, login
from gateways.fhir.client import FhirClient
from gateways.fhir.http import Breaker, FhirHttp, Limits
from gateways.outgoing.origins import origin_of
from schemas.config import Config, Ehr, Sender
from schemas.errors import NotConfigured

MakeBreaker = Callable[[str], Breaker]


class _Common(TypedDict):
    limits: Limits | None
    breaker: Breaker | None
    environ: Mapping[str, str]


def ehr_client(
    ehr: Ehr,
    *,
    limits: Limits | None = None,
    breaker: Breaker | None = None,
    environ: Mapping[str, str] = os.environ,
) -> FhirClient:
    """The EHR that gets results. Raises NotConfigured where its login cannot work; asks nobody yet."""
    mine = login(
        ehr.auth,
        base_url=ehr.base_url,
        setting="ehr.auth",
        environ=environ,
        private_network=ehr.private_network,
        ca_file=ehr.ca_file,
        scopes=READING_AND_WRITING,
    )
    http = FhirHttp(
        ehr.base_url,
        mine,
        private_network=ehr.private_network,
        ca_file=ehr.ca_file,
        limits=limits,
        breaker=breaker,
    )
    return FhirClient(http)


def reader(
    sender: Sender,
    *,
    limits: Limits | None = None,
    breaker: Breaker | None = None,
    environ: Mapping[str, str] = os.environ,
) -> FhirClient:
    """The server that `sender` pushes from, for reading. Raises NotConfigured where it is not to be read."""
    if sender.fhir_base_url is None or sender.reads is None:
        raise NotConfigured(
            f"senders: {sender.name}: set fhir_base_url and reads (kind: none where no login is needed) to read there"
        )
    mine = login(
        sender.reads,
        base_url=sender.fhir_base_url,
        setting=f"senders: {sender.name}: reads",
        environ=environ,
        private_network=sender.private_network,
        ca_file=sender.ca_file,
        scopes=READING,
    )
    http = FhirHttp(
        sender.fhir_base_url,
        mine,
        also_at=sender.export_files_at,
        aliases=sender.base_aliases,
        private_network=sender.private_network,
        ca_file=sender.ca_file,
        limits=limits,
        breaker=breaker,
    )
    return FhirClient(http)


def system_of(base_url: str) -> str:
    """What a circuit is called: the origin, since it is the machine behind it that fails."""
    origin = origin_of(base_url)
    return f"{origin.scheme}://{origin.host}:{origin.port}" if origin else base_url


class FhirServers:
    """The clients of one process. For one thread at a time."""

    def __init__(
        self,
        config: Config,
        *,
        breaker: MakeBreaker | None = None,
        limits: Limits | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._breaker = breaker
        self._limits = limits
        self._environ = environ
        self._clients: dict[str, FhirClient] = {}

    def ehr(self) -> FhirClient | None:
        """The EHR that gets results; None where none is configured."""
        ehr = self._config.ehr
        if ehr is None:
            return None
        return self._kept("ehr", lambda: ehr_client(ehr, **self._common(ehr.base_url)))

    def of_sender(self, name: str) -> FhirClient:
        """The server of the sender called `name`. Raises NotConfigured where there is none, or it is not to be read."""
        sender = next((one for one in self._config.senders if one.name == name), None)
        if sender is None:
            raise NotConfigured(f"there is no sender {name!r} in the configuration; senders: names them")
        return self._kept(f"sender:{name}", lambda: reader(sender, **self._common(sender.fhir_base_url or "")))

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _kept(self, key: str, make: Callable[[], FhirClient]) -> FhirClient:
        if key not in self._clients:
            self._clients[key] = make()
        return self._clients[key]

    def _common(self, base_url: str) -> _Common:
        made = self._breaker(system_of(base_url)) if self._breaker else None
        return {"limits": self._limits, "breaker": made, "environ": self._environ}
