"""Which resources set work in motion."""

from typing import Any

import pytest

from tests import records
from vbq.clinical.relevance import endpoint_ids, has_spine_t_score, study_verdict

CT = [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "perhaps-lumbar-mr"),
        ({"description": "MRT LWS nativ"}, "lumbar-mr"),
        ({"description": "MR L-spine wo contrast"}, "lumbar-mr"),
        ({"description": "MR Whole spine cervical thoracic lumbar"}, "lumbar-mr"),
        ({"procedureCode": [{"coding": [{"system": records.LOINC, "code": "24968-0"}]}]}, "lumbar-mr"),
        ({"description": "MR brain"}, "other-body-part"),
        ({"description": "MR cervical spine"}, "other-body-part"),
        ({"procedureCode": [{"text": "MRI of the knee"}]}, "other-body-part"),
        ({"modality": CT, "description": "CT lumbar spine"}, "not-mr"),
        ({"status": "registered"}, "study-not-available"),
        ({"status": "cancelled"}, "study-withdrawn"),
        ({"status": "entered-in-error"}, "study-withdrawn"),
    ],
)
def test_a_study_is_measured_unless_it_is_surely_another_one(changes: dict[str, Any], code: str) -> None:
    found = study_verdict(records.imaging_study(**changes))
    assert found.code == code
    assert found.measure is code.endswith("lumbar-mr")


def test_a_lumbar_code_beats_words_about_other_parts() -> None:
    coded = {"procedureCode": [{"coding": [{"system": records.LOINC, "code": "24968-0"}]}], "description": "head first"}
    assert study_verdict(records.imaging_study(**coded)).measure


def test_modality_may_stand_on_the_series_alone() -> None:
    study = records.imaging_study(series=[{"uid": "1.2", "modality": {"code": "MR"}, "description": "sag t1 lumbar"}])
    del study["modality"]
    assert study_verdict(study).code == "lumbar-mr"


def test_a_spine_t_score_counts_as_a_component_too() -> None:
    assert has_spine_t_score(records.t_score())
    code = {"coding": [{"system": records.LOINC, "code": records.SPINE_T_SCORE}]}
    assert has_spine_t_score({"resourceType": "Observation", "code": {"text": "DXA"}, "component": [{"code": code}]})
    forearm = records.observation("o", "p1", "38265-5", -2.0, "{T-score}")
    assert not has_spine_t_score(forearm)
    assert not has_spine_t_score({"resourceType": "Observation", "code": {"coding": [{"code": records.SPINE_T_SCORE}]}})


def test_endpoints_are_found_on_the_study_and_its_series() -> None:
    study = {
        "endpoint": [{"reference": "Endpoint/a"}, {"reference": "#b"}],
        "series": [{"endpoint": [{"reference": "https://ehr.example/fhir/Endpoint/c"}, {"reference": "Endpoint/a"}]}],
    }
    assert endpoint_ids(study) == ["a", "c"]


@pytest.mark.parametrize("odd", [{}, {"modality": "MR"}, {"series": [1, None]}, {"procedureCode": {"text": 1}}])
def test_odd_structures_are_no_reason_to_fall_over(odd: dict[str, Any]) -> None:
    study_verdict({**records.imaging_study(), **odd})
    endpoint_ids(odd)
    has_spine_t_score(odd)
