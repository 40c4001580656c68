"""Facts: the current version of each resource that was pushed to us, by sender, and who they are about."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, select, update

from gateways.store.database import Database
from gateways.store.tables import resources


@dataclass(frozen=True)
class StoredResource:
    """One resource as it came: `body` is UTF-8 JSON, empty where it was deleted before we saw it."""

    source: str
    resource_type: str
    resource_id: str
    patient: str | None
    version: str
    last_updated: float | None
    event: int
    deleted: bool
    interest: str | None
    body: bytes

    @property
    def reference(self) -> str:
        """Type/id."""
        return f"{self.resource_type}/{self.resource_id}"

    @property
    def subject(self) -> str:
        """source/Type/id: unique among all senders."""
        return f"{self.source}/{self.reference}"


class Put(NamedTuple):
    """What became of a version: `old` was there before (and may have been about another patient), if anything was."""

    old: StoredResource | None
    kept: bool


def replaces(new: StoredResource, old: StoredResource) -> bool:
    """Whether `new` is the later version: by meta.lastUpdated, else by numeric versionId, else by arrival.

    A version that comes late, after its successor, replaces nothing. A deletion that states no version counts from
    its arrival; a version older than the deleted one does not bring the resource back.
    """
    if new.event == old.event:
        return True  # a replay: the same again
    if new.deleted:
        if new.last_updated is not None and old.last_updated is not None and new.last_updated != old.last_updated:
            return new.last_updated > old.last_updated
        return new.event > old.event
    if new.last_updated is not None and old.last_updated is not None and new.last_updated != old.last_updated:
        return new.last_updated > old.last_updated
    if new.version.isdigit() and old.version.isdigit() and new.version != old.version:
        return int(new.version) > int(old.version)
    return new.event > old.event


def instant(text: str | None) -> float | None:
    """A FHIR instant as seconds since 1970; None where there is none, or it states no time zone."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


class Facts:
    """The resources table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, connection: Connection, new: StoredResource) -> Put:
        """Keep `new` if it is the latest version."""
        key = and_(
            resources.c.source == new.source,
            resources.c.resource_type == new.resource_type,
            resources.c.resource_id == new.resource_id,
        )
        values = _values(new)
        inserted = self._database.insert(resources).values(values).on_conflict_do_nothing().returning(resources.c.event)
        if connection.execute(inserted).first() is not None:  # on PostgreSQL rowcount says nothing of an insert like it
            return Put(None, kept=True)
        old = _stored(connection.execute(select(resources).where(key).with_for_update()).one())
        kept = replaces(new, old)
        if kept:
            if new.deleted:  # who it was about and which version it was is still wanted
                values = {"deleted": True, "event": new.event, "interest": old.interest}
                if new.last_updated is not None:
                    values["last_updated"] = new.last_updated
            connection.execute(update(resources).where(key).values(values))
        return Put(old, kept=kept)

    def of_patient(self, connection: Connection, patient: str) -> list[StoredResource]:
        """What is known of `patient`, deleted resources among it. Where two senders push the same resource of the
        same server, the later version counts; of equals, the copy that came last.
        """
        rows = connection.execute(select(resources).where(resources.c.patient == patient).order_by(resources.c.event))
        return _latest_copies(map(_stored, rows))

    def person(self, connection: Connection, patient: str) -> StoredResource | None:
        """The Patient resource of `patient` (a patient key) as it counts, which may be deleted; None: it never came."""
        mine = and_(resources.c.patient == patient, resources.c.resource_type == "Patient")
        rows = connection.execute(select(resources).where(mine).order_by(resources.c.event))
        copies = _latest_copies(row for row in map(_stored, rows) if f"/{patient}".endswith(f"/{row.reference}"))
        return copies[0] if copies else None

    def of_interest(self, connection: Connection, patient: str) -> bool:
        """Whether there is anything to assess: a study that could be a lumbar MR, or a spine T-score."""
        found = and_(resources.c.patient == patient, resources.c.interest.is_not(None))
        return connection.execute(select(resources.c.event).where(found).limit(1)).one_or_none() is not None

    def studies_of(self, connection: Connection, patient: str) -> list[StoredResource]:
        """The studies of `patient` that could be a lumbar MR and are not deleted."""
        wanted = and_(resources.c.patient == patient, resources.c.interest == "study", resources.c.deleted.is_(False))
        return [_stored(row) for row in connection.execute(select(resources).where(wanted))]

    def one(self, connection: Connection, source: str, resource_type: str, resource_id: str) -> StoredResource | None:
        """A resource, unless it is deleted or never came."""
        key = and_(
            resources.c.source == source,
            resources.c.resource_type == resource_type,
            resources.c.resource_id == resource_id,
            resources.c.deleted.is_(False),
        )
        row = connection.execute(select(resources).where(key)).one_or_none()
        return _stored(row) if row is not None else None

    def endpoints(self, connection: Connection, source: str, identifiers: Sequence[str]) -> list[StoredResource]:
        """The Endpoint resources with these ids that the sender pushed."""
        wanted = and_(
            resources.c.source == source,
            resources.c.resource_type == "Endpoint",
            resources.c.resource_id.in_(identifiers),
            resources.c.deleted.is_(False),
        )
        return [_stored(row) for row in connection.execute(select(resources).where(wanted))]


def _latest_copies(rows: Iterable[StoredResource]) -> list[StoredResource]:
    """One row for each Type/id of `rows`, which come in the order of their arrival."""
    found: dict[str, StoredResource] = {}
    for row in rows:
        known = found.get(row.reference)
        if known is None or replaces(row, known):
            found[row.reference] = row
    return list(found.values())


def _values(row: StoredResource) -> dict[str, Any]:
    return {
        "source": row.source,
        "resource_type": row.resource_type,
        "resource_id": row.resource_id,
        "patient": row.patient,
        "version": row.version,
        "last_updated": row.last_updated,
        "event": row.event,
        "deleted": row.deleted,
        "interest": row.interest,
        "body": row.body,
    }


def _stored(row: Any) -> StoredResource:
    return StoredResource(
        source=row.source,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        patient=row.patient,
        version=row.version,
        last_updated=row.last_updated,
        event=row.event,
        deleted=row.deleted,
        interest=row.interest,
        body=bytes(row.body),
    )
