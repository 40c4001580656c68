"""A study that was sent to us and has been quiet becomes an event, as if its patient's EHR had pushed an ImagingStudy.

Whose it is follows from PatientID, issuer and `receive.patients`, never from a name or a guess: where that leads to no
patient or to several, the study stays on disk and waits, with the reason, and is looked at again.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateways.dicom.study import DicomLimits, Reader, open_study
from gateways.fhir.servers import FhirServers
from gateways.pacs.received_studies import Note, Received, ReceivedStudies
from gateways.queue.inbox import Inbox
from schemas.config import Config, Receive, ReceivedPatients, Sender
from schemas.errors import NotConfigured, Rejected, Unavailable, VbqError
from schemas.fhir.events import events_of
from schemas.fhir.reference import ID
from vbq.imaging.identity import StudyIdentity

AGAIN_SECONDS = 60.0

log = logging.getLogger(__name__)
Json = Mapping[str, Any]


class Announcer:
    """Looks after received studies. For one thread."""

    def __init__(
        self,
        config: Config,
        receive: Receive,
        studies: ReceivedStudies,
        inbox: Inbox,
        servers: FhirServers,
        *,
        reader: Reader,
        limits: DicomLimits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises NotConfigured where `receive.patients` names a sender that is not there."""
        self._config = config
        self._receive = receive
        self._studies = studies
        self._inbox = inbox
        self._servers = servers
        self._reader = reader
        self._limits = limits
        self._clock = clock
        for row in receive.patients:
            self._sender(row)

    def look(self, *, alive: Callable[[], object] = lambda: None) -> int:
        """Announce what is complete and not announced yet; how many studies that were. `alive` is called with each."""
        announced = 0
        alive()
        for row in self._studies.all():
            announced += self._settle(row)
            alive()
        return announced

    def _settle(self, row: Received) -> bool:
        now = self._clock()
        if now - row.changed < self._receive.quiet_seconds or row.note.announced == row.digest:
            return False
        if row.note.status == "waiting" and now - row.note.at < AGAIN_SECONDS:
            return False
        note = Note(status="announced", instances=row.instances, announced=row.digest, at=now)
        try:
            self._announce(row)
        except VbqError as error:
            note = Note(status="waiting", code=error.reason_code, text=error.detail, instances=row.instances, at=now)
        self._studies.note(row.name, note)
        if note.code != row.note.code or note.status == "announced":
            log.info("a received study is %s", note.status, extra={"code": note.code, "instances": row.instances})
        return note.status == "announced"

    def _announce(self, row: Received) -> None:
        """Put it into the inbox. Raises Rejected or Unavailable where it has to wait."""
        files = open_study(row.place, limits=self._limits, reader=self._reader)
        rule = self._rule(files.identity)
        sender = self._sender(rule)
        reference, person = self._patient(rule, sender, (files.identity.patient_id or "").strip())
        study = imaging_study(row, files.study.study_uid, reference)
        entries = [{"resource": one} for one in (person, study) if one is not None]
        body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
        bases = {one.fhir_base_url.rstrip("/") for one in self._config.senders if one.fhir_base_url}
        base = sender.fhir_base_url.rstrip("/") if sender.fhir_base_url else None
        parsed = events_of(body, source=sender.name, base=base, several=len(bases) > 1)
        self._inbox.accept(parsed.events)

    def _rule(self, identity: StudyIdentity) -> ReceivedPatients:
        if not (identity.patient_id or "").strip():
            raise Rejected(
                "the study names no PatientID; correct it at its source and send it again", code="no-patient-id"
            )
        issuer = (identity.issuer or "").strip()
        rule = next((row for row in self._receive.patients if row.issuer == issuer), None)
        if rule is None:
            raise NotConfigured(
                "receive.patients has no row for the issuer of this study's PatientID; add one and start again",
                code="issuer-unknown",
            )
        return rule

    def _sender(self, rule: ReceivedPatients) -> Sender:
        found = next((one for one in self._config.senders if one.name == rule.sender), None)
        if found is None:
            raise NotConfigured(f"receive.patients names the sender {rule.sender!r}, which senders does not have")
        return found

    def _patient(self, rule: ReceivedPatients, sender: Sender, patient_id: str) -> tuple[str, Json | None]:
        """(reference, the Patient where it was fetched)."""
        if rule.identifier_system is None:
            if not ID.fullmatch(patient_id):
                raise Rejected(
                    "the study's PatientID cannot be a FHIR id; set identifier_system in receive.patients",
                    code="patient-id-form",
                )
            return f"Patient/{patient_id}", None
        token = f"{_escaped(rule.identifier_system)}|{_escaped(patient_id)}"
        found = self._servers.of_sender(sender.name).search("Patient", {"identifier": token}, pages=1)
        people = [one for one in found if _has(one, rule.identifier_system, patient_id)]
        if len(people) != 1:
            raise Unavailable(
                f"the sender's server knows {len(people)} patients with this PatientID; exactly one is needed",
                code="patient-not-found" if not people else "patient-ambiguous",
            )
        return f"Patient/{people[0]['id']}", people[0]


def imaging_study(row: Received, study_uid: str, reference: str) -> Json:
    """The ImagingStudy of a received study: its files are at a `file:` endpoint below the study roots."""
    endpoint = {
        "resourceType": "Endpoint",
        "id": "files",
        "status": "active",
        "connectionType": {"code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "address": Path(row.place).absolute().as_uri(),
    }
    return {
        "resourceType": "ImagingStudy",
        "id": f"dicom-{row.name[:40]}",
        "meta": {"versionId": row.digest},
        "contained": [endpoint],
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"}],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        "subject": {"reference": reference},
        "endpoint": [{"reference": "#files"}],
        "numberOfInstances": row.instances,
    }


def _has(person: Json, system: str, value: str) -> bool:
    """Whether the server found what was asked for: one that does not know the parameter answers with everybody."""
    rows = person.get("identifier")
    return isinstance(person.get("id"), str) and any(
        isinstance(row, dict) and (row.get("system"), row.get("value")) == (system, value)
        for row in (rows if isinstance(rows, list) else [])
    )


def _escaped(text: str) -> str:
    """A part of a token in a FHIR search (R4 section 3.1.1.5.7)."""
    for mark in "\\,|$":
        text = text.replace(mark, f"\\{mark}")
    return text
