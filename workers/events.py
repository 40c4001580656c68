"""An event becomes a fact, and the facts ask for work: a study to measure, a patient to assess."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateways.queue.inbox import ClaimedEvent
from gateways.records.facts import StoredResource, instant
from gateways.store.database import Transaction
from schemas.audit import Action, AuditEntry
from schemas.errors import Rejected, StoreUnavailable, Superseded
from schemas.fhir import narrow
from schemas.fhir.full import validate
from schemas.fhir.parse import parse_json
from vbq.clinical.relevance import StudyVerdict, endpoint_ids, has_spine_t_score, study_verdict
from workers import persons
from workers.bench import Bench
from workers.notices import take_notices

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Read:
    """An event after reading: a resource, or why there is none. `study` is the verdict on an ImagingStudy."""

    row: ClaimedEvent
    stored: StoredResource | None
    refused: Rejected | None = None
    study: StudyVerdict | None = None


def take_events(bench: Bench, event: int) -> None:
    """Read `event`, and with it others that are due, and write down what follows from them."""
    claimed = bench.inbox.claim(event)
    take_notices(bench, [row for row in claimed if row.event.interaction == "notice"])
    reads = [read(row, bench) for row in claimed if row.event.interaction != "notice"]
    if not reads:
        return
    try:
        wakes = _write(bench, reads)
    except Superseded:
        wakes = [job for one in reads for job in _alone(bench, one)]
    except StoreUnavailable as error:
        log.warning("%s", error.detail, extra={"code": error.reason_code})  # the leases run out
        return
    for job in wakes:
        bench.wake("measure", job)


def read(row: ClaimedEvent, bench: Bench) -> Read:
    """Check the resource fully and see what it is good for. Takes no decision that another resource could change."""
    event = row.event
    common: dict[str, Any] = {
        "source": event.source,
        "resource_type": event.resource_type,
        "resource_id": event.resource_id,
        "patient": event.patient,
        "version": event.version,
        "event": row.claim.id,
    }
    if row.claim.attempts > bench.settings.max_attempts:
        text = "its worker died every time it was read; `vbq events show` has the body"
        return Read(row, None, Rejected(text, code="attempts-exhausted"))
    if event.interaction == "delete":
        # A history says when it was deleted (schemas/fhir/bundle_events.py); a plain DELETE does not.
        stated = instant(event.version.removeprefix("gone-")) if event.version.startswith("gone-") else None
        return Read(row, StoredResource(**common, last_updated=stated, deleted=True, interest=None, body=b""))
    try:
        resource = parse_json(event.body, bench.settings.max_json_depth)
        validate(resource)
        narrow.read(resource, event.resource_type)
    except Rejected as error:
        return Read(row, None, error)
    verdict = study_verdict(resource) if event.resource_type == "ImagingStudy" else None
    stored = StoredResource(
        **common,
        last_updated=instant(resource.get("meta", {}).get("lastUpdated")),
        deleted=False,
        interest=interest(resource, verdict),
        body=event.body,
    )
    return Read(row, stored, study=verdict)


def interest(resource: dict[str, Any], verdict: StudyVerdict | None) -> str | None:
    """What makes its patient one to assess: study, withdrawn (a study that was one), t-score, or nothing."""
    if verdict is not None:
        return "study" if verdict.measure else "withdrawn" if verdict.code == "study-withdrawn" else None
    return "t-score" if resource["resourceType"] == "Observation" and has_spine_t_score(resource) else None


def _alone(bench: Bench, one: Read) -> list[int]:
    try:
        return _write(bench, [one])
    except (Superseded, StoreUnavailable):
        return []  # another worker has it, or will


def _write(bench: Bench, reads: Sequence[Read]) -> list[int]:
    """One transaction for all; returns the measure jobs that are due at once."""
    wakes: list[int] = []
    concerned: set[str] = set()
    told: list[AuditEntry] = []
    with bench.database.write() as connection:
        bench.database.hold(connection, [one.row.event.patient or one.row.event.source for one in reads])
        for one in reads:
            claim = one.row.claim
            if one.stored is None:
                reason = one.refused or Rejected("nothing could be read")
                bench.inbox.bury(connection, claim, code=reason.reason_code, text=reason.detail)
                log.warning("event refused", extra={"event": claim.id, "code": reason.reason_code})
                continue
            put = bench.facts.put(connection, one.stored)
            if not put.kept:
                bench.inbox.finish(connection, claim, code="overtaken", text="a later version was here already")
                continue
            told += received(one.stored, put.old)
            concerned |= _concerned(bench, connection, one.stored, put.old)
            wakes += _follow(bench, connection, one, one.stored, put.old)
            passed_over = one.study if one.study is not None and not one.study.measure else None
            code, text = (passed_over.code, passed_over.text) if passed_over else (None, None)
            bench.inbox.finish(connection, claim, code=code, text=text)
        persons.ask(bench, connection, concerned)
        bench.audit.append(connection, told)
    return wakes


def received(new: StoredResource, old: StoredResource | None) -> list[AuditEntry]:
    """What the audit log says of a version that now counts; nothing where it is about nobody (Endpoint). Pure."""
    patient = new.patient or (old.patient if old is not None else None)
    if patient is None:
        return []
    action: Action = (
        "resource-deleted" if new.deleted else "resource-updated" if old is not None else "resource-created"
    )
    return [
        AuditEntry(
            actor_kind="sender",
            actor=new.source,
            action=action,
            patient=patient,
            entity=new.reference,
            detail={"event": new.event},
        )
    ]


def _follow(
    bench: Bench, connection: Transaction, one: Read, new: StoredResource, old: StoredResource | None
) -> list[int]:
    """Ask for the work that `new`, which replaced `old`, makes necessary."""
    wakes: list[int] = []
    match new.resource_type:
        case "ImagingStudy" if one.study is not None and one.study.measure and new.patient is not None:
            known = bench.jobs.ended_well(connection, "measure", new.subject)
            if not (known and old is not None and same_content(old.body, new.body)):
                wakes.append(bench.jobs.bump(connection, "measure", new.subject, new.patient))
        case "Patient" if new.patient is not None and not new.deleted:
            # A study that waited for its patient, or was refused as somebody else's, gets another look.
            wakes += persons.look_again(bench, connection, new.patient)
        case "Endpoint" if not new.deleted:
            wakes += _studies_at(bench, connection, new)
        case _:
            pass
    return wakes


def _concerned(bench: Bench, connection: Transaction, new: StoredResource, old: StoredResource | None) -> set[str]:
    """Whom `new`, which replaced `old`, says something of: also whom it was about before, or is tied to since."""
    patients = {row.patient for row in (new, old) if row is not None and row.patient is not None}
    if new.resource_type != "Patient" or new.patient is None:
        return patients
    patients.update(persons.held_circle(bench, connection, new.patient).keys)
    bench.patients.retie(connection, new.patient, base=persons.base_of_sender(bench.config, new.source))
    return patients | set(persons.held_circle(bench, connection, new.patient).keys)


def _studies_at(bench: Bench, connection: Transaction, endpoint: StoredResource) -> list[int]:
    """Studies that wait for this Endpoint, or gave up on it, get another look."""
    found = []
    for subject in bench.jobs.unfinished(connection, "measure"):
        source, resource_type, resource_id = subject.split("/", 2)
        study = bench.facts.one(connection, source, resource_type, resource_id) if source == endpoint.source else None
        if study is not None and study.patient and endpoint.resource_id in endpoint_ids(json.loads(study.body)):
            found.append(bench.jobs.bump(connection, "measure", subject, study.patient))
    return found


def same_content(old: bytes, new: bytes) -> bool:
    """Whether two versions differ in nothing but `meta`: a server that touches a resource changes no study."""
    if not (old and new):
        return False
    left, right = json.loads(old), json.loads(new)
    left.pop("meta", None)
    right.pop("meta", None)
    return bool(left == right)
