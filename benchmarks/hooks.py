"""A card from a stored result, over HTTP: requests/s at 16 connections, latency at fixed rates, CPU per request.

    ./run python -m benchmarks.hooks [--seconds 5] [--rates 100,300] [--signed]
    ./run python -m benchmarks.hooks --in-process     # no HTTP: what one call and its parts cost

`--signed` sends a fresh ES384 token with every call (made beforehand: signing is the client's work).
"""

import argparse
import asyncio
import datetime as dt
import itertools
import json
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.http_load import Outcome, closed, cpu_seconds, family, paced, request_of, resident_mb
from benchmarks.served import Served, served
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.settings import Settings
from gateways.stand_ins import Credentials
from gateways.store.database import Database
from schemas.config import MergePolicy
from schemas.fhir.facts import patient_facts
from schemas.fhir.results import resources_of
from schemas.measurement import Acquisition, Measurement
from vbq.assess import assess

PATH = "/cds-services/vertebral-fracture-risk-view"
PATIENTS = 1000  # more than the service keeps answers for
EHR = "https://ehr.example/fhir"


def observation(number: int, patient: str) -> dict[str, Any]:
    """A synthetic spine T-score."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1", "display": "DXA Lumbar spine T-score"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2023-12-01",
        "valueQuantity": {"value": -2.4, "system": "http://unitsofmeasure.org", "code": "{T-score}"},
    }


def person(patient: str) -> dict[str, Any]:
    """A synthetic woman of 73."""
    return {"resourceType": "Patient", "id": patient, "gender": "female", "birthDate": "1951-02-03"}


def fill(here: Served) -> None:
    """Store a complete assessment for each synthetic patient."""
    fill_database(here.settings)


def fill_database(settings: Settings) -> None:
    """The same for the database of `settings`."""
    database = Database(settings.database)
    results, model = Results(database), Models(settings, database).active()
    for number in range(PATIENTS):
        name = f"p{number}"
        measurement = Measurement(
            status="measured",
            vbq=round(3.0 + number / 500, 3),
            interval=(2.9 + number / 500, 3.1 + number / 500),
            method="reader",
            algorithm="benchmark",
            study_uid=f"2.25.{number + 1}",
            acquisition=Acquisition(study_date="2024-01-15"),
        )
        made = assess(
            patient=f"Patient/{name}",
            study=f"ImagingStudy/s{number}",
            facts=patient_facts([person(name), *(observation(n, name) for n in range(5))]),
            measurement=measurement,
            model=model.artefact,
            digest=model.digest,
            policy=MergePolicy(),
            as_of=dt.datetime(2024, 2, 1, tzinfo=dt.UTC),
            previous=None,
            software="benchmark",
        )
        with database.write() as connection:
            results.store(connection, made, resources_of(made), send=False)
    database.close()


def body_of(patient: str) -> bytes:
    """A patient-view call with a prefetched Patient and five Observations, 3 kB."""
    entries = [{"fullUrl": f"{EHR}/Observation/o{n}", "resource": observation(n, patient)} for n in range(5)]
    request = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": EHR,
        "context": {"userId": "Practitioner/d1", "patientId": patient},
        "prefetch": {
            "patient": person(patient),
            "dxa": {"resourceType": "Bundle", "type": "searchset", "entry": entries},
        },
    }
    return json.dumps(request).encode()


def requests(here: Served, credentials: Credentials | None, patients: int, count: int) -> Callable[[], bytes]:
    """A source of calls about `patients` patients in turn. Signed ones are made beforehand, `count` of them."""
    host = f"127.0.0.1:{here.port}"
    bodies = [body_of(f"p{number}") for number in range(patients)]

    def one(number: int) -> bytes:
        headers = {"Content-Type": "application/json"}
        if credentials:
            headers["Authorization"] = f"Bearer {credentials.client_token(f'http://{host}{PATH}')}"
        return request_of("POST", PATH, host, bodies[number % patients], headers)

    made = [one(number) for number in range(count if credentials else patients)]
    source = iter(made) if credentials else itertools.cycle(made)
    return lambda: next(source)


def row(name: str, here: Served, run: Callable[[], Any]) -> tuple[str, Outcome, float]:
    """Run one load; its name, outcome, and the server's CPU per request in us."""
    pids = family(here.pid)
    before = cpu_seconds(pids)
    outcome: Outcome = asyncio.run(run())
    used = cpu_seconds(pids) - before
    return name, outcome, 1e6 * used / max(1, len(outcome.took))


def show(title: str, rows: list[tuple[str, Outcome, float]], here: Served) -> None:
    """Print the table."""
    memory = resident_mb(family(here.pid))
    table = Table(title=title, caption=f"server resident {memory:.0f} MB; the load generator shares the machine")
    table.add_column("load", no_wrap=True)
    for heading in ("requests/s", "p50 ms", "p99 ms", "CPU us/request", "statuses"):
        table.add_column(heading, justify="right")
    for name, outcome, cpu in rows:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items()))
        latency = (f"{outcome.quantile(0.5):.1f}", f"{outcome.quantile(0.99):.1f}")
        table.add_row(name, f"{outcome.rate:,.0f}", *latency, f"{cpu:.0f}", statuses)
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rates", default="100,300")
    parser.add_argument("--signed", action="store_true", help="send an ES384 token with every call")
    parser.add_argument("--in-process", action="store_true", help="no HTTP: CPU of one call and of its parts")
    options = parser.parse_args()
    if options.in_process:
        from benchmarks.hook_parts import run as run_parts

        run_parts()
        return
    with tempfile.TemporaryDirectory() as temporary:
        credentials = Credentials("https://ehr.example") if options.signed else None
        config = credentials.write_config(Path(temporary), fhir_base=EHR, study_roots=[]) if credentials else None
        with served(config, open_=not options.signed) as here:
            fill(here)
            run(here, credentials, options.seconds, [float(rate) for rate in options.rates.split(",")])


def run(here: Served, credentials: Credentials | None, seconds: float, rates: list[float]) -> None:
    """All loads, then the table. `1 patient` finds its answer kept; 1,000 in turn find none kept."""
    most = int(seconds * 3000)
    asyncio.run(closed(here.port, 16, 1.0, requests(here, credentials, 1, 3000)))  # warm
    rows = []
    for patients in (1, PATIENTS):
        make = requests(here, credentials, patients, most)
        name = f"16 connections, closed loop, {patients:,} patient{'s' if patients > 1 else ''}"
        rows.append(row(name, here, lambda m=make: closed(here.port, 16, seconds, m)))
    for rate in rates:
        make = requests(here, credentials, PATIENTS, int(rate * seconds) + 1)
        name = f"{rate:.0f}/s, open loop, {PATIENTS:,} patients"
        rows.append(row(name, here, lambda r=rate, m=make: paced(here.port, 64, seconds, r, m)))
    show("CDS Hooks: a card from a stored result" + (", ES384 token per call" if credentials else ""), rows, here)


if __name__ == "__main__":
    main()
