"""R5 resources in R4's shape."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.fhir.events import events_of
from schemas.fhir.full import validate
from schemas.fhir.release5 import as_r4

Json = dict[str, Any]
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def test_the_study_of_an_r5_notification_is_valid_r4_and_keeps_its_codes(samples: dict[str, Json]) -> None:
    body = json.dumps(samples["own_R5_event_full"]).encode()
    (event,) = events_of(body, source="ehr", base=None, several=False).events
    study = json.loads(event.body)
    validate(study)
    assert study["modality"] == [{"system": DCM, "code": "MR"}]
    (series,) = study["series"]
    assert series["modality"] == {"system": DCM, "code": "MR"}
    assert series["bodySite"] == {"system": "http://snomed.info/sct", "code": "122496007"}


def test_an_r5_endpoint_is_valid_r4() -> None:
    endpoint = {
        "resourceType": "Endpoint",
        "id": "e1",
        "status": "active",
        "connectionType": [{"coding": [{"system": "http://x", "code": "dicom-wado-rs"}]}],
        "payload": [{"type": [{"text": "DICOM"}], "mimeType": ["application/dicom"]}],
        "address": "https://pacs.example/dicom-web",
    }
    found = as_r4(endpoint)
    validate(found)
    assert found["connectionType"]["code"] == "dicom-wado-rs"
    assert found["payloadType"] == [{"text": "DICOM"}]


def test_what_r4_does_not_have_is_left_out(make: Any) -> None:
    study = make.imaging_study(procedure=[{"concept": {"text": "x"}}], reason=[{"concept": {"text": "y"}}], partOf=[])
    validate(as_r4(study))
    condition = make.condition(participant=[{"actor": {"reference": "Practitioner/1"}}])
    validate(as_r4(condition))


def test_r4_is_left_as_it_is(make: Any) -> None:
    study = make.imaging_study(
        modality=[{"system": DCM, "code": "MR"}], series=[{"uid": "1.2", "modality": {"system": DCM, "code": "MR"}}]
    )
    for resource in (study, make.patient(), make.observation(), make.condition()):
        assert as_r4(resource) is resource


SCALAR = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3)
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["coding", "concept", "code", "text", "type", "modality"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["ImagingStudy", "Endpoint", "Observation", "Condition", "Patient", "Grommet"]),
    st.dictionaries(st.sampled_from(["modality", "series", "connectionType", "payload", "procedure"]), VALUE),
)
def test_whatever_is_in_it_nothing_is_raised_and_twice_is_once(kind: str, content: Json) -> None:
    once = as_r4({"resourceType": kind, **content})
    assert as_r4(once) == once
