"""From resources as a sender writes them to the assessment: the bad inputs of the issue, one by one."""

import datetime as dt
from typing import Any

import pytest

from schemas.config import MergePolicy
from schemas.fhir.facts import patient_facts
from schemas.measurement import Acquisition, Measurement
from vbq.assess import assess
from vbq.risk.published import build

MODEL = build()
MEASURED = Measurement(
    status="measured",
    vbq=4.26,
    method="reader",
    algorithm="vbq-reader-regions 0.1.0",
    study_uid="2.25.1",
    acquisition=Acquisition(study_date="2024-01-15"),
)
PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1952-03-04"}


def observation(code: str, quantity: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o-{code}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2023-12-01",
        "valueQuantity": quantity,
        **more,
    }


def ask(*resources: dict[str, Any]):
    return assess(
        patient="Patient/p1",
        study="ImagingStudy/s1",
        facts=patient_facts([PATIENT, *resources]),
        measurement=MEASURED,
        model=MODEL,
        digest="0" * 64,
        policy=MergePolicy(),
        as_of=dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
        previous=None,
        software="vbq-cds test",
    )


def test_a_plain_t_score_gives_the_risk() -> None:
    found = ask(observation("38267-1", {"value": -2.48, "unit": "{T-score}"}))
    assert round(found.risk.risk, 3) == 0.299


@pytest.mark.parametrize(
    ("resource", "about", "code"),
    [
        (observation("38267-1", {"value": 40, "unit": "{T-score}"}), "t_score", "implausible"),
        (observation("38267-1", {"value": -1.1, "unit": "{Z-score}"}), "t_score", "z-score"),
        (observation("85394-5", {"value": -1.1}), "t_score", "z-score"),
        (observation("38267-1", {"value": 0.889, "unit": "g/cm2"}), "t_score", "wrong-unit"),
        (observation("38267-1", {"value": -2, "comparator": "<"}), "t_score", "no-value"),
        (observation("38267-1", {"value": -2}, status="entered-in-error"), "t_score", "entered-in-error"),
        (observation("38267-1", {"value": -2}, effectiveDateTime="2023"), "t_score", "partial-date"),
        (observation("29463-7", {"value": 61}), "weight_kg", "no-unit"),
    ],
    ids=["T 40", "Z unit", "Z code", "density", "comparator", "error", "year", "no unit"],
)
def test_a_bad_observation_is_ignored_with_its_reason_and_gives_no_risk(resource, about, code) -> None:
    found = ask(resource)
    assert (found.state, found.risk) == ("incomplete", None)
    assert (about, code) in {(row.about, row.code) for row in found.ignored}


def test_the_forearm_s_code_is_shown_as_the_forearm() -> None:
    found = ask(observation("38265-5", {"value": -2.5, "unit": "{T-score}"}))
    assert found.missing == ["t_score"]
    assert "t_score_forearm" in {row.name for row in found.inputs}


def test_a_component_counts_by_its_own_code() -> None:
    panel = observation("38267-1", {"value": -2.48})
    panel["component"] = [{"code": panel.pop("code"), "valueQuantity": panel.pop("valueQuantity")}]
    panel["code"] = {"text": "DXA"}
    found = ask(panel)
    assert found.state == "complete"
    assert next(row for row in found.inputs if row.name == "t_score").source.endswith("#component[0]")
