"""Resources of nobody, and the samples of real senders where the shared folder is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]


def observation(**changes: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2023-12-01",
        "valueQuantity": {
            "value": -2.4,
            "unit": "{T-score}",
            "system": "http://unitsofmeasure.org",
            "code": "{T-score}",
        },
        **changes,
    }


def condition(**changes: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": "c1",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "42942008"}]},
        "subject": {"reference": "Patient/p1"},
        **changes,
    }


def patient(**changes: Any) -> Json:
    return {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1951-02-03", **changes}


def imaging_study(**changes: Any) -> Json:
    return {
        "resourceType": "ImagingStudy",
        "id": "is1",
        "status": "available",
        "subject": {"reference": "Patient/p1"},
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.7"}],
        **changes,
    }


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def put(resource: Json, **changes: Any) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}, **changes}


class Make:
    """The functions above, as one fixture."""

    observation = staticmethod(observation)
    condition = staticmethod(condition)
    patient = staticmethod(patient)
    imaging_study = staticmethod(imaging_study)
    bundle = staticmethod(bundle)
    put = staticmethod(put)


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def samples(request: pytest.FixtureRequest) -> dict[str, Json]:
    """The bodies of fhir/samples in the shared folder, by file name."""
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.FixtureLookupError:
        pytest.skip("the shared folder's fixture is not there")
    found = {}
    for path in sorted((shared / "fhir" / "samples").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = json.loads(document["body"] or "null") if "body" in document else document
    return found
