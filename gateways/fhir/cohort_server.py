"""What a FHIR server holds of each patient, for building a cohort: by its $export or by searches, sorted on disk.

A server gives resources by type and the rules want them by patient, so they are put down in a file of their own first
(below VBQ_DATA_DIR, readable to us alone, removed at the end). VBQ values are those that this product measured and sent
there as Observations; where the store of this site has a study's measurement, that counts, since it says more.
"""

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

from gateways.fhir.bulk import Waiting, ask, done_with, kick_off, lines
from gateways.fhir.client import FhirClient
from gateways.fhir.sources import Events, Source
from gateways.records.cohort_source import StoredPatient
from gateways.records.facts import StoredResource
from schemas.errors import Rejected
from schemas.events import IncomingEvent
from schemas.fhir import systems
from schemas.fhir.full import validate
from schemas.fhir.parse import parse_json
from schemas.fhir.reference import read_reference
from schemas.measurement import Acquisition, Measurement
from vbq.clinical.relevance import study_verdict

TYPES = ("Patient", "ImagingStudy", "Observation", "Condition")
MOST_PAGES = 1_000_000
MOST_LINE_BYTES = 10 * 2**20
BATCH = 500
MOST_VBQ = 100.0  # beyond that it is no ratio of signals
COUNTED = ("final", "amended", "corrected", "preliminary")
TABLE = "CREATE TABLE found (patient TEXT, type TEXT, id TEXT, version TEXT, body BLOB, PRIMARY KEY (type, id))"
PUT = "INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?)"
BY_PATIENT = "SELECT patient, type, id, version, body FROM found ORDER BY patient, type, id"
Json = Mapping[str, Any]
Own = Callable[[str], Mapping[str, Measurement]]


class ServerSource:
    """Reads a whole server. `own` gives what the store of this site measured of a patient, by subject."""

    def __init__(
        self,
        source: Source,
        client: FhirClient,
        *,
        scratch: Path | None = None,
        own: Own | None = None,
        say: Callable[[str], None] | None = None,
        page_size: int = 200,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._client = client
        self._scratch = scratch
        self._own = own
        self._told = say
        self._page_size = page_size
        self._sleep = sleep
        self.passed_over = 0

    def patients(self) -> Iterator[StoredPatient]:
        """Everybody on the server, as if it had pushed everything to us. Closes the client at the end."""
        with (
            self._client,
            tempfile.TemporaryDirectory(prefix="cohort-", dir=self._scratch) as place,
            closing(sqlite3.connect(Path(place) / "found.sqlite3")) as found,
        ):
            found.execute("PRAGMA synchronous = OFF")  # it is thrown away
            found.execute(TABLE)
            self._fill(found)
            found.execute("CREATE INDEX by_patient ON found (patient)")
            rows = found.execute(BY_PATIENT)
            for patient, mine in groupby(rows, key=lambda row: str(row[0])):
                stored = [self._stored(number, row) for number, row in enumerate(mine)]
                yield StoredPatient(patient, stored, self._measured(patient, stored))

    def _fill(self, found: sqlite3.Connection) -> None:
        batch: list[tuple[str, str, str, str, bytes]] = []
        for body in self._bodies():
            events = self._read(body)
            batch.extend((str(e.patient), e.resource_type, e.resource_id, e.version, e.body) for e in events)
            if len(batch) >= BATCH:
                found.executemany(PUT, batch)
                batch = []
        found.executemany(PUT, batch)
        found.commit()

    def _read(self, body: bytes | None) -> list[IncomingEvent]:
        """The resource as intake and a worker would take it; what they would refuse is passed over and counted."""
        read = self._source.events(body) if body is not None else Events([], ["too-large"])
        good = []
        for one in read.events:
            try:
                validate(parse_json(one.body))
            except Rejected:
                continue
            good += [one] if one.patient is not None else []
        self.passed_over += len(read.passed_over) + len(read.events) - len(good)
        return good

    def _say(self, text: str) -> None:
        if self._told is not None:
            self._told(text)

    def _bodies(self) -> Iterator[bytes | None]:
        """Every resource as JSON; None for one that is too large."""
        http = self._client.http
        status_url = kick_off(http, TYPES, None)
        if status_url is None:
            self._say("the server offers no $export: searching")
            for kind in TYPES:
                yield from self._searched(kind)
            return
        while isinstance(state := ask(http, status_url), Waiting):
            self._say(f"the server makes its files {state.progress}".rstrip())
            self._sleep(state.seconds)
        for file in state:
            if file.kind == "output" and file.resource_type in TYPES:
                self._say(f"reading {file.resource_type}")
                yield from lines(http, file, most_bytes=MOST_LINE_BYTES)
        done_with(http, status_url)

    def _searched(self, kind: str) -> Iterator[bytes]:
        self._say(f"reading {kind}")
        try:
            for resource in self._client.search(kind, {"_count": str(self._page_size)}, pages=MOST_PAGES):
                yield json.dumps(resource, ensure_ascii=False).encode()
        except Rejected as error:
            if error.reason_code not in ("ehr-not-found", "ehr-not-supported"):
                raise
            self._say(f"the server does not offer {kind}")

    def _stored(self, number: int, row: tuple[str, str, str, str, bytes]) -> StoredResource:
        patient, kind, identifier, version, body = row
        measurable = kind == "ImagingStudy" and study_verdict(json.loads(body)).measure
        return StoredResource(
            source=self._source.name,
            resource_type=kind,
            resource_id=identifier,
            patient=patient,
            version=version,
            last_updated=None,
            event=number,
            deleted=False,
            interest="study" if measurable else None,
            body=body,
        )

    def _measured(self, patient: str, stored: list[StoredResource]) -> dict[str, Measurement]:
        """Measurements by subject: of the VBQ Observations on the server, and of the store where it has the study."""
        subjects = {row.resource_id: row.subject for row in stored if row.interest == "study"}
        found: dict[str, tuple[str, Measurement]] = {}
        for row in stored:
            if row.resource_type == "Observation" and (read := vbq_measurement(json.loads(row.body))) is not None:
                study, when, measurement = read
                if study in subjects and when >= found.get(subjects[study], ("", measurement))[0]:
                    found[subjects[study]] = (when, measurement)
        stated = self._own(patient) if self._own is not None else {}
        own = {key.rpartition("/")[2]: value for key, value in stated.items()}
        ours = {subject: own[study] for study, subject in subjects.items() if study in own}
        return {**{subject: measurement for subject, (_, measurement) in found.items()}, **ours}


def vbq_measurement(observation: Json) -> tuple[str, str, Measurement] | None:
    """(ImagingStudy id, when it was stored, the measurement) of a VBQ Observation that this product wrote; None for
    anything else. Field strength and scanner are not in it, so they stay unknown.
    """
    codings = _rows(_part(observation, "code").get("coding"))
    named = any(row.get("system") == systems.MEASURE and row.get("code") == "vbq-score" for row in codings)
    status, value = observation.get("status"), _part(observation, "valueQuantity").get("value")
    if not named or status not in COUNTED or not isinstance(value, int | float) or not 0 < value < MOST_VBQ:
        return None
    references = [str(row.get("reference")) for row in _rows(observation.get("derivedFrom"))]
    literals = [literal for reference in references if (literal := read_reference(reference)) is not None]
    study = next((literal.resource_id for literal in literals if literal.resource_type == "ImagingStudy"), None)
    if study is None:
        return None
    day = str(observation.get("effectiveDateTime") or "")[:10] or None
    measurement = Measurement(
        status="needs_confirmation" if status == "preliminary" else "measured",
        vbq=float(value),
        algorithm=str(_part(observation, "method").get("text") or "as stored on the server")[:200],
        study_uid="unknown",
        acquisition=Acquisition(study_date=day),
    )
    return study, str(_part(observation, "meta").get("lastUpdated") or ""), measurement


def _part(element: Json, name: str) -> Json:
    found = element.get(name)
    return found if isinstance(found, Mapping) else {}


def _rows(value: object) -> list[Json]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
