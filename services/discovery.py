"""The three CDS services: one id per hook, since clients tell services apart by their address."""

from collections.abc import Mapping
from typing import Final

from schemas.cds import Discovery, Hook, Service
from schemas.codes import LOINC, codes_of

# Only read and type search, token equality, _sort and _count; tokens from the context alone (rows 10 to 13).
_LABS: Final = ("alp", "creatinine", "crcl_measured", "crcl_cg", "weight")


def _observations(*concepts: str, count: int) -> str:
    codes = ",".join(f"{LOINC}|{row.code}" for name in concepts for row in codes_of(name) if row.system == LOINC)
    return f"Observation?patient={{{{context.patientId}}}}&code={codes}&_sort=-date&_count={count}"


PREFETCH: Final[Mapping[str, str]] = {
    "patient": "Patient/{{context.patientId}}",
    "dxa": _observations("tscore_spine", count=5),
    "labs": _observations(*_LABS, count=20),
    "conditions": "Condition?patient={{context.patientId}}&_count=100",
    "treatment": "MedicationRequest?patient={{context.patientId}}&status=active&_count=100",
}
ABOUT: Final = (
    "Five-year risk of a vertebral fracture from MRI bone quality (VBQ) and DXA, computed beforehand from what the"
    " record sent. Research use: not a cleared medical device."
)


def query(key: str, patient_id: str) -> str:
    """The query behind a prefetch key for one patient (an id that was checked)."""
    return PREFETCH[key].replace("{{context.patientId}}", patient_id)


def service(id_: str, hook: Hook, when: str) -> Service:
    return Service(
        id=id_,
        hook=hook,
        title=f"Vertebral fracture risk {when}",
        description=ABOUT,
        prefetch=dict(PREFETCH),
        usage_requirements=(
            "Imaging studies must reach this service as FHIR events beforehand. Any part of the prefetch may be left"
            " out: it is then read with fhirAuthorization, or done without."
        ),
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
