"""Results: assessments, their history, and the FHIR resources made of them. What the services read, workers write."""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal,
    not_,
    select,
    update,
)

from gateways.queue.inbox import Clock
from gateways.records.briefs import Brief, brief_of, read_brief
from gateways.store.database import Database
from gateways.store.tables import (
    CURRENT,
    OPEN_EVENTS,
    OPEN_JOBS,
    assessments,
    inbox,
    jobs,
    measurements,
    published,
    resources,
)
from schemas.assessment import Assessment
from schemas.measurement import Measurement

PARSED_KEPT = 128  # some 50 kB each
BRIEFS_KEPT = 8192  # some 1.5 kB each
Item = TypeVar("Item")


class PatientView:
    """What a card is made of. `in_progress`: an assessment is on its way; `known`: we have heard of the patient.

    `brief` is there at once; `assessment`, the whole record, is read when it is first asked for.
    """

    __slots__ = ("_load", "brief", "in_progress", "known")

    def __init__(
        self, brief: Brief | None, in_progress: bool, known: bool, load: Callable[[], Assessment] | None = None
    ) -> None:
        self.brief = brief
        self.in_progress = in_progress
        self.known = known
        self._load = load

    @property
    def assessment(self) -> Assessment | None:
        """The whole record; the same one for as long as it is kept."""
        return self._load() if self._load is not None else None

    def showing(self, assessment: Assessment) -> "PatientView":
        """The same with another assessment, e.g. one that was computed for one call."""
        return PatientView(brief_of(assessment), self.in_progress, self.known, lambda: assessment)


@dataclass(frozen=True)
class Page:
    """One page of a search, newest first; `total` counts all matches."""

    total: int
    bodies: list[bytes]


class Past(NamedTuple):
    """An assessment of a patient, and the id of the one that replaced it."""

    assessment: Assessment
    superseded_by: str | None


class Results:
    """The stored results. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock
        self._view = database.prepared(_view_statement())
        self._parsed: _Kept[Assessment] = _Kept(PARSED_KEPT)
        self._briefs: _Kept[Brief] = _Kept(BRIEFS_KEPT)

    def view(self, patient: str) -> PatientView:
        """Everything that a card about `patient` (a patient key) needs, in one query."""
        identifier, created, body, waiting, working, known = self._view({"patient": patient})[0]
        in_progress = bool(waiting or working)
        if identifier is None:
            return PatientView(None, in_progress, bool(in_progress or known))
        key = (identifier, created)
        return PatientView(self._brief(key, body), in_progress, True, lambda: self._parse(key, body))

    def current(self, patient: str) -> Assessment | None:
        """The assessment of `patient` that counts now."""
        return self.view(patient).assessment

    def assessment(self, identifier: str) -> Assessment | None:
        """The assessment with this id, current or superseded."""
        statement = select(assessments.c.body).where(assessments.c.id == identifier)
        with self._database.read() as connection:
            body = connection.scalar(statement)
        return Assessment.model_validate_json(bytes(body)) if body is not None else None

    def history(self, patient: str, *, most: int = 50) -> list[Past]:
        """The assessments of `patient`, the one that counts first, then by when they were made, newest first."""
        newest = (assessments.c.current.desc(), assessments.c.created.desc())
        columns = (assessments.c.body, assessments.c.superseded_by)
        statement = select(*columns).where(assessments.c.patient == patient).order_by(*newest).limit(most)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [Past(Assessment.model_validate_json(bytes(row.body)), row.superseded_by) for row in rows]

    def resource(self, resource_type: str, identifier: str) -> bytes | None:
        """The FHIR resource Type/id that we made, as JSON."""
        found = and_(published.c.resource_type == resource_type, published.c.resource_id == identifier)
        with self._database.read() as connection:
            body = connection.scalar(select(published.c.body).where(found))
        return bytes(body) if body is not None else None

    def patient_of(self, resource_type: str, identifier: str) -> str | None:
        """The patient key that Type/id, which we made, belongs to; None for a Device, and where there is none."""
        found = and_(published.c.resource_type == resource_type, published.c.resource_id == identifier)
        with self._database.read() as connection:
            patient: str | None = connection.scalar(select(published.c.patient).where(found))
        return patient

    def search(
        self,
        resource_type: str,
        *,
        patient: str | None = None,
        identifier: str | None = None,
        count: int = 50,
        offset: int = 0,
    ) -> Page:
        """Resources of a type, newest first. `identifier` is a FHIR token: `system|value` or `value`."""
        wanted: list[ColumnElement[bool]] = [published.c.resource_type == resource_type]
        if patient is not None:
            wanted.append(published.c.patient == patient)
        if identifier is not None:
            whole = published.c.identifier == identifier  # with its system, or stored without one
            bare = published.c.identifier.endswith(f"|{identifier}", autoescape=True)
            wanted.append(whole if "|" in identifier else bare)
        newest = (published.c.last_updated.desc(), published.c.resource_id)
        page = select(published.c.body).where(*wanted).order_by(*newest).limit(count).offset(offset)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(published).where(*wanted)) or 0
            return Page(total=total, bodies=[bytes(body) for body in connection.scalars(page)] if count else [])

    def store(
        self,
        connection: Connection,
        assessment: Assessment,
        made: Sequence[Mapping[str, Any]],
        *,
        rewritten: Sequence[Mapping[str, Any]] = (),
        send: bool = False,
    ) -> None:
        """Make `assessment` the current one of its patient and keep `made`, the FHIR resources that say so.

        The one that it replaces stays, marked superseded; `rewritten` are its resources that now say that. `send`:
        an EHR is to hear of it. The caller's transaction makes all of it one effect.
        """
        now = self._clock()
        mine = assessments.c.patient == assessment.patient
        retired = {"current": False, "superseded_by": assessment.id, "sent": not send}
        connection.execute(update(assessments).where(mine, CURRENT).values(**retired))
        values = {
            "key": assessment.key,
            "patient": assessment.patient,
            "state": assessment.state,
            "created": now,
            "current": True,
            "superseded_by": None,
            "sent": not send,
            "model": assessment.model.digest,
            "body": assessment.model_dump_json().encode(),
        }
        statement = self._database.insert(assessments).values(id=assessment.id, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
        for resource in made:
            self._keep(connection, resource, assessment, now)
        for resource in rewritten:
            key = and_(published.c.resource_type == resource["resourceType"], published.c.resource_id == resource["id"])
            connection.execute(update(published).where(key).values(body=_body(resource)))

    def _keep(self, connection: Connection, resource: Mapping[str, Any], assessment: Assessment, now: float) -> None:
        key = {"resource_type": resource["resourceType"], "resource_id": resource["id"]}
        values = {
            "patient": None if resource["resourceType"] == "Device" else assessment.patient,
            "identifier": _first_identifier(resource),
            "assessment": assessment.id,
            "last_updated": now,
            "body": _body(resource),
        }
        statement = self._database.insert(published).values(**key, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))

    def store_measurement(
        self, connection: Connection, subject: str, run: int, patient: str, what: Measurement
    ) -> None:
        """Keep the outcome of one measuring run of the study `subject` (source/ImagingStudy/id)."""
        values = {
            "patient": patient,
            "status": what.status,
            "created": self._clock(),
            "body": what.model_dump_json().encode(),
        }
        statement = self._database.insert(measurements).values(subject=subject, run=run, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["subject", "run"], set_=values))

    def measurements(self, connection: Connection, patient: str) -> dict[str, Measurement]:
        """The latest measurement of each study of `patient`, by subject (source/ImagingStudy/id)."""
        latest = (
            select(measurements.c.subject, func.max(measurements.c.run).label("run"))
            .where(measurements.c.patient == patient)
            .group_by(measurements.c.subject)
            .subquery()
        )
        same = and_(measurements.c.subject == latest.c.subject, measurements.c.run == latest.c.run)
        rows = connection.execute(select(measurements.c.subject, measurements.c.body).join(latest, same))
        return {row.subject: Measurement.model_validate_json(bytes(row.body)) for row in rows}

    def latest(self, connection: Connection, patient: str) -> Assessment | None:
        """The assessment of `patient` that counts, as this transaction sees it."""
        body = connection.scalar(select(assessments.c.body).where(assessments.c.patient == patient, CURRENT))
        return Assessment.model_validate_json(bytes(body)) if body is not None else None

    def unsent(self, connection: Connection, patient: str) -> list[tuple[Assessment, str | None]]:
        """Assessments of `patient` that the EHR has not heard of in their present state, oldest first, each with
        the id of the one that replaced it.
        """
        wanted = and_(assessments.c.patient == patient, assessments.c.sent.is_(False))
        rows = connection.execute(
            select(assessments).where(wanted).order_by(assessments.c.current, assessments.c.created)
        )
        return [(Assessment.model_validate_json(bytes(row.body)), row.superseded_by) for row in rows]

    def mark_sent(self, connection: Connection, sent: Sequence[tuple[Assessment, str | None]]) -> None:
        """The EHR has these assessments in this state. One that was superseded since stays unsent."""
        for assessment, superseded_by in sent:
            same = and_(
                assessments.c.id == assessment.id, assessments.c.superseded_by.is_not_distinct_from(superseded_by)
            )
            connection.execute(update(assessments).where(same).values(sent=True))

    def _brief(self, key: tuple[str, float], body: bytes) -> Brief:
        return self._briefs.get(key) or self._briefs.put(key, read_brief(body))

    def _parse(self, key: tuple[str, float], body: bytes) -> Assessment:
        """Parsed assessments are kept: reading one takes many times as long as finding it."""
        return self._parsed.get(key) or self._parsed.put(key, Assessment.model_validate_json(bytes(body)))


class _Kept(Generic[Item]):
    """The last so many items, by what they are of. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[tuple[str, float], Item] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: tuple[str, float]) -> Item | None:
        with self._guard:
            found = self._items.get(key)
            if found is not None:
                self._items.move_to_end(key)
            return found

    def put(self, key: tuple[str, float], item: Item) -> Item:
        with self._guard:
            self._items[key] = item
            if len(self._items) > self._most:
                self._items.popitem(last=False)
        return item


def _view_statement() -> Any:
    patient: ColumnElement[str] = bindparam("patient", type_=Text())
    waiting = exists().where(inbox.c.patient == patient, OPEN_EVENTS, inbox.c.state != "dead")
    awaited = not_(jobs.c.when_idle)  # a comparison that waits for an idle moment keeps nobody waiting for a result
    at_work = and_(OPEN_JOBS, jobs.c.state != "dead", jobs.c.kind != "publish", awaited)
    working = exists().where(jobs.c.patient == patient, at_work)
    known = exists().where(resources.c.patient == patient)
    one = select(literal(1).label("one")).subquery()
    mine = and_(assessments.c.patient == patient, CURRENT)
    columns = (assessments.c.id, assessments.c.created, assessments.c.body, waiting, working, known)
    return select(*columns).select_from(one.outerjoin(assessments, mine))


def _body(resource: Mapping[str, Any]) -> bytes:
    return json.dumps(resource, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _first_identifier(resource: Mapping[str, Any]) -> str | None:
    identifiers = resource.get("identifier") or []
    if isinstance(identifiers, Mapping):  # some resources have one, not a list
        identifiers = [identifiers]
    return next((f"{row.get('system', '')}|{row['value']}" for row in identifiers if "value" in row), None)
