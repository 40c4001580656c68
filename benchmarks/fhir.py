"""Milliseconds to read events and to write results as FHIR: `./run python -m benchmarks.fhir`."""

import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from gateways.card_policy import card_policy
from schemas.assessment import Assessment
from schemas.fhir.events import events_of
from schemas.fhir.facts import patient_facts
from schemas.fhir.full import checked, validate
from schemas.fhir.parse import parse_json
from schemas.fhir.results import as_transaction, resources_of
from services.cards import cards_for
from services.locales import locales_of
from services.orders import Moment
from tests.assessments import assessment

POLICY = card_policy(None)
REPEATS = 60


def observation(number: int) -> dict[str, Any]:
    """A DXA T-score of nobody."""
    coding = {"system": "http://loinc.org", "code": "38267-1", "display": "DXA Lumbar spine [T-score] Bone density"}
    unit = {"unit": "{T-score}", "system": "http://unitsofmeasure.org", "code": "{T-score}"}
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [coding]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2023-12-01",
        "valueQuantity": {"value": -2.4, **unit},
    }


def cpu_ms(call: Callable[[], object]) -> tuple[float, float]:
    """Fastest and median CPU time of a call in milliseconds; the fastest is what other load on the machine spares."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - start) / 1e6)
    return min(times), sorted(times)[REPEATS // 2]


def card_of(made: Assessment) -> dict[str, Any]:
    """The card as it is sent."""
    (card,) = cards_for(
        made,
        known=True,
        in_progress=False,
        moment=Moment("patient-view", "chart", frozenset()),
        hook_instance="x",
        base_url="http://127.0.0.1:8080",
        policy=POLICY,
        locale=locales_of(POLICY)["en"],
        clinician="0" * 16,
    )
    return card.document()


def main() -> None:
    """Print the table."""
    entries = [
        {"fullUrl": f"https://ehr.example/fhir/Observation/o{n}", "resource": observation(n)} for n in range(100)
    ]
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    single = json.dumps(observation(1)).encode()
    some = [observation(n) for n in range(20)]
    made = assessment()
    resources = resources_of(made)
    options: dict[str, Any] = {"source": "engine", "base": None, "several": False}
    cases: dict[str, Callable[[], object]] = {
        f"strict JSON of a Bundle of 100 Observations ({len(bundle) / 1000:.0f} kB)": lambda: parse_json(bundle),
        "Bundle of 100 Observations to events (budget 6)": lambda: events_of(bundle, **options),
        "one Observation to an event": lambda: events_of(single, **options),
        "20 Observations to facts": lambda: patient_facts(some),
        "full check of one Observation": lambda: validate(some[0]),
        "assessment to FHIR resources": lambda: resources_of(made),
        "full check of those": lambda: [checked(row) for row in resources],
        "transaction of those": lambda: as_transaction(resources),
        "assessment to a card": lambda: card_of(made),
    }
    table = Table("what", "fastest, ms CPU", "median, ms CPU", title="FHIR in and out, one core")
    for name, call in cases.items():
        fastest, median = cpu_ms(call)
        table.add_row(name, f"{fastest:.3f}", f"{median:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
