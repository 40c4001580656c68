"""The part of `vbq doctor` about FHIR servers: can we log in, do they do what we need, which circuits are open."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from gateways.fhir.checks import Finding, described, signed_in
from gateways.fhir.circuit import circuit_states
from gateways.fhir.client import FhirClient
from gateways.fhir.http import Limits
from gateways.fhir.servers import ehr_client, reader
from gateways.fhir.watermarks import Watermarks
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.config import Config
from schemas.errors import NotConfigured, StoreUnavailable
from schemas.events import RELEVANT_TYPES

LIMITS = Limits(reply_seconds=15.0, silence_seconds=5.0)


class ServerCheck(NamedTuple):
    """As commands.doctor.Check."""

    name: str
    ok: bool
    detail: str
    needed: bool


def servers(settings: Settings, config: Config) -> Iterator[ServerCheck]:
    """One line per server, and one per circuit that is not closed. Away is not fatal: work for it waits."""
    if config.ehr is None:
        yield ServerCheck("EHR", True, "none: results are stored and served, sent nowhere", needed=False)
    else:
        make = partial(ehr_client, config.ehr, limits=LIMITS)
        yield _examined("EHR", config.ehr.base_url, make, writes=True, reads=())
    for sender in config.senders:
        if sender.reads is not None and sender.fhir_base_url is not None:
            types = [kind for kind in RELEVANT_TYPES if sender.resource_types is None or kind in sender.resource_types]
            name = f"FHIR server of {sender.name}"
            make = partial(reader, sender, limits=LIMITS)
            yield _examined(name, sender.fhir_base_url, make, writes=False, reads=types)
    yield from _remembered(settings)


def _examined(
    name: str, url: str, make: Callable[[], FhirClient], *, writes: bool, reads: Sequence[str]
) -> ServerCheck:
    try:
        client = make()
    except NotConfigured as error:
        return ServerCheck(name, False, f"{url}: {error.detail}", needed=True)
    with client:
        login = signed_in(client.http.login)
        told = Finding([], []) if login.wrong else described(client, writes=writes, reads=reads)
    wrong = [*login.wrong, *told.wrong]
    detail = "; ".join(wrong or [*login.fine, *told.fine])
    return ServerCheck(name, not wrong, f"{url}: {detail}{'; what is for it waits' if wrong else ''}", needed=False)


def _remembered(settings: Settings) -> Iterator[ServerCheck]:
    """Circuits that are not closed and polls that did not end, as the database has them."""
    database = Database(settings.database)
    try:
        if not (database.exists() and database.has_table("circuits")):
            return
        for one in circuit_states(database):
            if one.state != "closed":
                detail = f"circuit {one.state} after {one.failures} failures ({one.code}); `vbq ehr status`"
                yield ServerCheck(f"circuit {one.system}", False, detail, needed=False)
        for mark in Watermarks(database).all():
            if mark.code is not None:
                detail = f"the last poll of {mark.resource_type} did not end ({mark.code}); it is tried again"
                yield ServerCheck(f"poll of {mark.source}", False, detail, needed=False)
    except StoreUnavailable:
        return  # the check of the database says so
    finally:
        database.close()
