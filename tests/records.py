"""FHIR resources of nobody, as senders push them."""

import datetime as dt
from pathlib import Path
from typing import Any

Json = dict[str, Any]
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
SPINE_T_SCORE, WEIGHT = "38267-1", "29463-7"


def patient(patient_id: str = "p1", **changes: Any) -> Json:
    """The person of the phantom with seed 5 (gender and birth date are compared with its headers)."""
    return {"resourceType": "Patient", "id": patient_id, "gender": "female", "birthDate": "1959-12-04", **changes}


def observation(
    observation_id: str, patient_id: str, code: str, value: float, unit: str, *, date: str | None = None, **changes: Any
) -> Json:
    return {
        "resourceType": "Observation",
        "id": observation_id,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": date or dt.datetime.now(dt.UTC).date().isoformat(),
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        **changes,
    }


def t_score(patient_id: str = "p1", value: float = -2.9, *, name: str = "t", **changes: Any) -> Json:
    return observation(f"{name}-{patient_id}", patient_id, SPINE_T_SCORE, value, "{T-score}", **changes)


def imaging_study(
    patient_id: str = "p1", *, address: str | None = None, study_uid: str | None = None, name: str = "s", **changes: Any
) -> Json:
    """An MR study; `address` puts a contained Endpoint into it."""
    endpoint = {
        "resourceType": "Endpoint",
        "id": "where",
        "status": "active",
        "connectionType": {"code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "address": address,
    }
    place = {"contained": [endpoint], "endpoint": [{"reference": "#where"}]} if address is not None else {}
    uid = {"identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid}"}]} if study_uid else {}
    return {
        "resourceType": "ImagingStudy",
        "id": f"{name}-{patient_id}",
        "status": "available",
        "subject": {"reference": f"Patient/{patient_id}"},
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        **place,
        **uid,
        **changes,
    }


def bundle(*resources: Json) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": row} for row in resources]}


def file_url(place: Path) -> str:
    return place.absolute().as_uri()
