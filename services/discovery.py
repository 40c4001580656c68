"""The three CDS services: one id per hook, since clients tell services apart by their address."""

from collections.abc import Mapping
from typing import Final

from schemas.cds import Discovery, Hook, Service
from schemas.fhir.systems import LOINC

SPINE_T_SCORE: Final = "38267-1"
PREFETCH: Final = {
    "patient": "Patient/{{context.patientId}}",
    "dxa": f"Observation?patient={{{{context.patientId}}}}&code={LOINC}|{SPINE_T_SCORE}&_sort=-date&_count=5",
}
ABOUT: Final = (
    "Five-year risk of a vertebral fracture from MRI bone quality (VBQ) and DXA, computed beforehand from what the"
    " record sent. Research use: not a cleared medical device."
)


def service(id_: str, hook: Hook, when: str) -> Service:
    return Service(
        id=id_,
        hook=hook,
        title=f"Vertebral fracture risk {when}",
        description=ABOUT,
        prefetch=PREFETCH,
        usage_requirements="Imaging studies and observations must reach this service as FHIR events beforehand.",
    )


SERVICES: Final[Mapping[str, Service]] = {
    row.id: row
    for row in (
        service("vertebral-fracture-risk-view", "patient-view", "when the chart is opened"),
        service("vertebral-fracture-risk-order-select", "order-select", "while an order is chosen"),
        service("vertebral-fracture-risk-order-sign", "order-sign", "before orders are signed"),
    )
}


def discovery() -> Discovery:
    """GET /cds-services."""
    return Discovery(services=list(SERVICES.values()))
