"""The FHIR side of a study."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import LOINC, lookup
from schemas.config import MergePolicy
from schemas.fhir.facts import patient_facts
from schemas.fhir.full import validate
from vbq.clinical.merge import merge
from vbq.simulate.patient import OPTIONAL_PARTS, ImagedSeries, ImagedStudy, Wishes, patient_bundle
from vbq.simulate.patient_values import QUANTITIES, draw_values

ANCHOR = dt.date(2025, 10, 1)
STUDY = ImagedStudy(
    uid="1.2.3",
    date=ANCHOR,
    directory_url="file:///data/study",
    patient_id="SYNTH-0001",
    birth_date=dt.date(1955, 5, 5),
    series=[ImagedSeries(uid="1.2.3.1", number=2, modality="MR", description="SAG T1", instances=17)],
)
Json = dict[str, Any]


def resources(bundle: Json, resource_type: str) -> list[Json]:
    found = (entry["resource"] for entry in bundle["entry"])
    return [resource for resource in found if resource["resourceType"] == resource_type]


@settings(deadline=None)  # the first one imports the FHIR models
@given(st.integers(0, 10**6), st.sampled_from(["si", "us"]), st.booleans())
def test_every_bundle_is_valid_fhir(seed: int, units: str, history: bool) -> None:
    wishes = Wishes.model_validate({"patient_id": "p1", "seed": seed, "units": units, "history_vf": history})
    bundle = patient_bundle(STUDY, wishes, ANCHOR)
    validate(bundle)
    assert patient_bundle(STUDY, wishes, ANCHOR) == bundle


def test_the_study_is_pointed_to_by_a_contained_file_endpoint() -> None:
    (study,) = resources(patient_bundle(STUDY, Wishes(patient_id="p1"), ANCHOR), "ImagingStudy")
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}]
    assert study["endpoint"] == [{"reference": "#files"}]
    assert study["contained"][0]["address"] == "file:///data/study"


def test_the_patient_carries_what_the_study_says_of_her() -> None:
    (patient,) = resources(patient_bundle(STUDY, Wishes(patient_id="p1"), ANCHOR), "Patient")
    assert patient["identifier"][0]["value"] == "SYNTH-0001"
    assert patient["birthDate"] == "1955-05-05"


@pytest.mark.parametrize("name", [*OPTIONAL_PARTS, *(name for name, row in QUANTITIES.items() if row.drawn)])
def test_each_part_can_be_left_out_and_the_rest_stays(name: str) -> None:
    full = patient_bundle(STUDY, Wishes(patient_id="p1", history_vf=True), ANCHOR)
    less = patient_bundle(STUDY, Wishes(patient_id="p1", history_vf=True, without=[name]), ANCHOR)
    validate(less)
    assert less != full
    changed = [entry for entry in full["entry"] if entry not in less["entry"]]
    assert len(changed) == 1


def test_given_values_and_conditions_are_written() -> None:
    wishes = Wishes(patient_id="p1", values={"t-score": -3.3, "crcl": 44.0}, conditions=["2089002"])
    bundle = patient_bundle(STUDY, wishes, ANCHOR)
    values = {row["id"]: row["valueQuantity"] for row in resources(bundle, "Observation")}
    assert values["p1-t-score"]["value"] == -3.3
    assert (values["p1-crcl"]["value"], values["p1-crcl"]["code"]) == (44.0, "mL/min")
    assert "2089002" in [row["code"]["coding"][0]["code"] for row in resources(bundle, "Condition")]


def test_every_code_that_is_written_is_in_the_code_table() -> None:
    for quantity in QUANTITIES.values():
        for loinc in (quantity.loinc, quantity.us[0] if quantity.us else quantity.loinc):
            assert lookup(LOINC, loinc) is not None


@given(st.integers(0, 10**6))
def test_american_units_say_the_same(seed: int) -> None:
    si, us = (draw_values(seed, ANCHOR, given={}, without=(), units=units) for units in ("si", "us"))
    for one, other in zip(si, us, strict=True):
        american = QUANTITIES[one.name].us
        factor = american[2] if american else 1.0
        assert one.date == other.date
        assert other.value == pytest.approx(one.value * factor, rel=0.02)


@pytest.mark.parametrize("units", ["si", "us"])
def test_the_merge_takes_every_input_that_the_model_needs(units: str) -> None:
    wishes = Wishes.model_validate({"patient_id": "p1", "seed": 3, "units": units})
    bundle = patient_bundle(STUDY, wishes, ANCHOR)
    facts = patient_facts([entry["resource"] for entry in bundle["entry"]])
    merged = merge(facts, dt.datetime(2025, 11, 1, tzinfo=dt.UTC), ANCHOR, MergePolicy())
    names = {row.name for row in merged.inputs}
    assert {"t_score", "weight_kg", "creatinine_umol_l", "crcl_ml_min", "alp_u_l", "age_years", "menopause"} <= names
    assert merged.ignored == []
