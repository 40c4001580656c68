"""Erasing one patient: every row and file of ours about her, in one transaction, and the bytes behind them.

What lies outside (the EHR, the archive, backups) is named, not touched. A new event brings her back: nothing of her is
kept by which she could be kept out.
"""

import contextlib
import hashlib
import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, tuple_
from sqlalchemy.engine import make_url

from gateways.audit.log import Audit
from gateways.pacs.endpoints import addresses_of, study_uid_of
from gateways.pacs.study_cache import cache_of
from gateways.queue.jobs import Jobs
from gateways.records.feedback import feedback
from gateways.records.patients import Patients
from gateways.settings import Settings
from gateways.store import ehr_tables, review_tables, subscription_tables
from gateways.store.audit_tables import audit, audit_head
from gateways.store.database import Database
from gateways.store.patient_tables import patient_ties
from gateways.store.registry_tables import model_log, models, monitorings, rescorings, shadow_scores
from gateways.store.tables import assessments, inbox, jobs, leases, metadata, resources
from schemas.audit import ActorKind, AuditEntry
from schemas.notice import Notice

# Tables that hold nothing about anybody. A test holds this list and the database together.
ABOUT_NOBODY: Final = frozenset(
    table.name
    for table in (
        models,
        model_log,
        monitorings,
        rescorings,
        leases,
        audit_head,
        subscription_tables.subscriptions,
        ehr_tables.backfills,
        ehr_tables.backfill_parts,
        ehr_tables.circuits,
        ehr_tables.watermarks,
    )
)
# Tables whose rows are found by something else than a column `patient`, or that are treated in a way of their own.
FOUND_OTHERWISE: Final = frozenset(table.name for table in (audit, inbox, jobs, shadow_scores, feedback, patient_ties))
BY_PATIENT: Final[tuple[Table, ...]] = tuple(
    table
    for table in metadata.sorted_tables
    if "patient" in table.c and table.name not in FOUND_OTHERWISE | ABOUT_NOBODY
)
SCRUB_SECONDS: Final = 20.0
_SOME: Final = 400
assert review_tables.pictures in BY_PATIENT, "tables count only once their module was imported"


@dataclass(frozen=True)
class Found:
    """What there is about a person. `patients`: keys of her records; `rows`: by table; `sent`: results an EHR has."""

    patients: list[str]
    rows: dict[str, int]
    studies: dict[str, str | None]
    """Endpoint-less reference of each study and its UID."""
    directories: list[Path]
    elsewhere: int
    sent: list[str]

    @property
    def anything(self) -> bool:
        """Whether there is anything to erase."""
        return bool(sum(self.rows.values()) or self.directories)


@dataclass(frozen=True)
class Erased:
    """What was done. `receipt` with the patient's reference proves later that the erasure was hers."""

    found: Found
    audit_rows: int
    cached_studies: int
    directories: int
    receipt: str
    bytes_gone: bool | None = field(default=None)
    """Whether the database's files were rewritten without her; None: that is PostgreSQL's own business."""


class Erasure:
    """Finding and erasing."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._audit = Audit(database)
        self._patients = Patients(database)
        self._jobs = Jobs(database)

    def look(self, patient: str, *, only_this_record: bool = False) -> Found:
        """What there is about `patient` (a patient key) and, unless told otherwise, in other records of hers."""
        with self._database.read() as connection:
            keys = [patient]
            if not only_this_record:
                keys = list(self._patients.circle(connection, patient).standing(patient).members)
            return self._found(connection, keys)

    def erase(self, found: Found, *, actor_kind: ActorKind = "command", actor: str) -> Erased:
        """Erase what `look` found, and what came since. Raises StoreUnavailable: then nothing was erased."""
        receipt = secrets.token_hex(16)
        with self._database.write() as connection:
            self._database.hold(connection, found.patients)
            if self._database.is_sqlite:  # what is freed is overwritten with zeros
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            now = self._found(connection, found.patients)
            left = self._patients.circle(connection, found.patients[0]).keys
            for table, wanted in self._places(connection, found.patients):
                connection.execute(delete(table).where(wanted))
            for key in sorted(set(left) - set(found.patients)):  # who rested on her data is assessed without it
                self._jobs.bump(connection, "assess", key, key)
            audit_rows = self._audit.erase(connection, found.patients)
            detail: dict[str, str | int | bool | None] = {
                "records": len(found.patients),
                "rows": sum(now.rows.values()),
                "audit_rows": audit_rows,
                "receipt": proof(receipt, found.patients[0]),
            }
            entry = AuditEntry(actor_kind=actor_kind, actor=actor, action="erased", detail=detail)
            self._audit.append(connection, [entry])
        cache = cache_of(self._settings)
        cached = sum(cache.forget(uid) for uid in now.studies.values() if uid)
        for place in now.directories:
            shutil.rmtree(place, ignore_errors=True)
        return Erased(
            found=now,
            audit_rows=audit_rows,
            cached_studies=cached,
            directories=sum(not place.exists() for place in now.directories),
            receipt=receipt,
            bytes_gone=scrub(self._settings) if self._database.is_sqlite else None,
        )

    def _found(self, connection: Connection, keys: Sequence[str]) -> Found:
        rows = {
            table.name: connection.scalar(select(func.count()).select_from(table).where(wanted)) or 0
            for table, wanted in self._places(connection, keys)
        }
        studies: dict[str, str | None] = {}
        own, elsewhere = [], 0
        root = (self._settings.data_dir / "studies").resolve()
        for study in _studies(connection, keys):
            studies[f"ImagingStudy/{study.get('id')}"] = study_uid_of(study)
            for place in self._directories(connection, study):
                inside = place != root and root in place.parents
                elsewhere += not inside
                own += [place] if inside and place.is_dir() and not _others(connection, place, keys) else []
        mine = and_(assessments.c.patient.in_(keys), assessments.c.sent.is_(True))
        sent = list(connection.scalars(select(assessments.c.id).where(mine))) if self._sends() else []
        kept = {name: count for name, count in rows.items() if count}
        return Found(list(keys), kept, studies, sorted(set(own)), elsewhere, sorted(sent))

    def _sends(self) -> bool:
        return self._settings.structured().ehr is not None

    def _directories(self, connection: Connection, study: Mapping[str, Any]) -> Iterator[Path]:
        """Where the study's files lie by its file: endpoints, known or contained."""
        wanted = and_(resources.c.resource_type == "Endpoint", resources.c.deleted.is_(False))
        known = [json.loads(bytes(body)) for body in connection.scalars(select(resources.c.body).where(wanted))]
        addresses, _ = addresses_of(dict(study), known)
        for address in addresses:
            parts = urlsplit(address)
            if parts.scheme == "file":
                yield Path(unquote(parts.path)).resolve()

    def _places(self, connection: Connection, keys: Sequence[str]) -> list[tuple[Table, ColumnElement[bool]]]:
        """Every table with something about these records, and which of its rows. In the order of deletion."""
        ids = select(assessments.c.id).where(assessments.c.patient.in_(keys))
        begins = select(func.substr(assessments.c.id, 1, 13)).where(
            assessments.c.patient.in_(keys)
        )  # of a first answer
        links = and_(patient_ties.c.kind != "identifier", patient_ties.c.value.in_(keys))
        events = inbox.c.id.in_(_event_ids(connection, keys))
        return [
            (shadow_scores, shadow_scores.c.assessment.in_(ids)),
            (
                feedback,
                or_(feedback.c.patient.in_(keys), feedback.c.assessment.in_(ids), feedback.c.assessment.in_(begins)),
            ),
            (inbox, events),
            (jobs, or_(jobs.c.patient.in_(keys), jobs.c.id.in_(_fetches(connection, keys)))),
            (patient_ties, or_(patient_ties.c.patient.in_(keys), links)),
            *((table, table.c.patient.in_(keys)) for table in BY_PATIENT),
        ]


def proof(receipt: str, patient: str) -> str:
    """What the audit log keeps of an erasure: made again from receipt and reference, and from nothing else."""
    return hashlib.sha256(f"{receipt}|{patient}".encode()).hexdigest()


def scrub(settings: Settings) -> bool:
    """Rewrite an SQLite database so that no byte of what was deleted is left in its files; whether that was done.

    Others may be at work: it waits for a moment without readers, for SCRUB_SECONDS at most.
    """
    path = make_url(settings.database).database
    until = time.monotonic() + SCRUB_SECONDS
    connection = sqlite3.connect(str(path), timeout=SCRUB_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("VACUUM")
        while time.monotonic() < until:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(0.05)
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return False


def _studies(connection: Connection, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    mine = and_(resources.c.patient.in_(keys), resources.c.resource_type == "ImagingStudy")
    for body in connection.scalars(select(resources.c.body).where(mine)):
        if body:
            yield json.loads(bytes(body))


def _others(connection: Connection, place: Path, keys: Sequence[str]) -> bool:
    """Whether somebody else's study names the same directory."""
    name = place.name.encode()
    others = and_(resources.c.resource_type == "ImagingStudy", resources.c.patient.not_in(keys))
    wanted = select(resources.c.body).where(others).execution_options(yield_per=_SOME)
    with contextlib.closing(connection.scalars(wanted)) as bodies:
        return any(name in bytes(body) for body in bodies)


def _names(connection: Connection, keys: Sequence[str]) -> set[tuple[str, str, str]]:
    """Source, type and id of all that is or was theirs."""
    mine = resources.c.patient.in_(keys)
    stored = select(resources.c.source, resources.c.resource_type, resources.c.resource_id).where(mine)
    told = select(inbox.c.source, inbox.c.resource_type, inbox.c.resource_id).where(inbox.c.patient.in_(keys))
    return {(row[0], row[1], row[2]) for query in (stored, told) for row in connection.execute(query)}


def _fetches(connection: Connection, keys: Sequence[str]) -> list[int]:
    """Jobs that would fetch something of theirs: a sender named it, and its body has not come yet."""
    hers = {f"{source}/{kind}/{name}" for source, kind, name in _names(connection, keys)}
    waiting = connection.execute(select(jobs.c.id, jobs.c.subject).where(jobs.c.kind == "fetch"))
    return [row.id for row in waiting if row.subject in hers or row.subject.partition("/")[2] in keys]


def _event_ids(connection: Connection, keys: Sequence[str]) -> list[int]:
    """Events about these records: every version of what is or was theirs, and notices that name any of it."""
    hers = _names(connection, keys)
    columns = (inbox.c.source, inbox.c.resource_type, inbox.c.resource_id)
    ids = set(connection.scalars(select(inbox.c.id).where(inbox.c.patient.in_(keys))))
    ordered = sorted(hers)
    for start in range(0, len(ordered), _SOME):
        some = tuple_(*columns).in_(ordered[start : start + _SOME])
        ids |= set(connection.scalars(select(inbox.c.id).where(some)))
    references = {(source, f"{kind}/{name}") for source, kind, name in hers}
    notices = select(inbox.c.id, inbox.c.source, inbox.c.body).where(inbox.c.interaction == "notice")
    for row in connection.execute(notices):
        if row.body and any(
            (row.source, "/".join(named.split("/")[-2:])) in references
            for named in Notice.model_validate_json(bytes(row.body)).fetch
        ):
            ids.add(row.id)
    return sorted(ids)
