"""The FHIR side of a study: a made-up patient's record as an R4 transaction Bundle."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from pydantic import Field

from schemas.codes import LOINC, SNOMED_CT, Code, codes_of, lookup
from schemas.fhir.systems import CONDITION_CLINICAL, CONDITION_VERIFICATION, DICOM_UID, OBSERVATION_CATEGORY, ROOT, UCUM
from schemas.record import Record
from vbq.simulate.patient_values import Units, Value, draw_values

Json = dict[str, Any]
DICOM_CODES = "http://dicom.nema.org/resources/ontology/DCM"
MEDICAL_RECORD_NUMBERS = f"{ROOT}/synthetic-patient-id"
TEST_DATA: Json = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}
OPTIONAL_PARTS = ("birth-date", "gender", "identifier", "menopause", "history-vf", "endpoint", "study")


class ImagedSeries(Record):
    """A series as the study's headers name it."""

    uid: str
    number: int | None = None
    modality: str | None = None
    description: str | None = None
    instances: int = Field(ge=0)


class ImagedStudy(Record):
    """What is needed of a study to speak of it in FHIR."""

    uid: str
    date: dt.date | None
    directory_url: str = Field(pattern="^file:///")
    patient_id: str | None = None
    birth_date: dt.date | None = None
    series: list[ImagedSeries]


class Wishes(Record):
    """How the patient shall be; what is None is drawn from the seed or taken from the study."""

    patient_id: str = Field(pattern=r"^[A-Za-z0-9.-]{1,40}$", description="FHIR id")
    seed: int = Field(default=0, ge=0)
    gender: str = Field(default="female", pattern="^(female|male|other|unknown)$")
    birth_date: dt.date | None = None
    history_vf: bool | None = None
    values: dict[str, float] = Field(default_factory=dict, description="by name of patient_values.QUANTITIES")
    conditions: list[str] = Field(default_factory=list, description="SNOMED CT codes of schemas/codes.tsv")
    without: list[str] = Field(default_factory=list, description="names of values or of OPTIONAL_PARTS")
    units: Units = "si"


def patient_bundle(study: ImagedStudy, wishes: Wishes, anchor: dt.date) -> Json:
    """A transaction Bundle: Patient, ImagingStudy (its endpoint the study's directory), Observations, Conditions.

    `anchor` is the day before which everything was measured: the study's date where it has one. The same wishes give
    the same Bundle.
    """
    rng = np.random.default_rng([wishes.seed, 9])
    values = draw_values(wishes.seed, anchor, given=wishes.values, without=wishes.without, units=wishes.units)
    resources = [_patient(study, wishes, anchor, rng)]
    if "study" not in wishes.without:
        resources.append(_imaging_study(study, wishes))
    resources += [_observation(value, wishes) for value in values]
    resources += _conditions(wishes, values, anchor, rng)
    entries = [
        {
            "resource": {**resource, "meta": {"tag": [TEST_DATA]}},
            "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _patient(study: ImagedStudy, wishes: Wishes, anchor: dt.date, rng: np.random.Generator) -> Json:
    drawn = anchor - dt.timedelta(days=int(rng.uniform(60, 80) * 365.25))
    resource: Json = {
        "resourceType": "Patient",
        "id": wishes.patient_id,
        "active": True,
        "name": [{"use": "official", "family": "Synthetic", "given": ["Phantom", f"{wishes.seed:04d}"]}],
        "gender": wishes.gender,
        "birthDate": (wishes.birth_date or study.birth_date or drawn).isoformat(),
    }
    if study.patient_id is not None:
        resource["identifier"] = [{"use": "usual", "system": MEDICAL_RECORD_NUMBERS, "value": study.patient_id}]
    for part, key in (("birth-date", "birthDate"), ("gender", "gender"), ("identifier", "identifier")):
        if part in wishes.without:
            resource.pop(key, None)
    return resource


def _imaging_study(study: ImagedStudy, wishes: Wishes) -> Json:
    code = codes_of("mr_lumbar_spine")[0]
    resource: Json = {
        "resourceType": "ImagingStudy",
        "id": f"{wishes.patient_id}-study",
        "identifier": [{"system": DICOM_UID, "value": f"urn:oid:{study.uid}"}],
        "status": "available",
        "modality": [{"system": DICOM_CODES, "code": "MR"}],
        "subject": {"reference": f"Patient/{wishes.patient_id}"},
        "numberOfSeries": len(study.series),
        "numberOfInstances": sum(series.instances for series in study.series),
        "procedureCode": [_concept(code)],
        "description": "MR lumbar spine",
        "series": [_series(series) for series in study.series],
    }
    if study.date is not None:
        resource["started"] = study.date.isoformat()
    if "endpoint" not in wishes.without:
        resource["contained"] = [_endpoint(study)]
        resource["endpoint"] = [{"reference": "#files"}]
    return resource


def _endpoint(study: ImagedStudy) -> Json:
    return {
        "resourceType": "Endpoint",
        "id": "files",
        "status": "active",
        "connectionType": {"system": f"{ROOT}/CodeSystem/connection-type", "code": "file", "display": "Directory"},
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": study.directory_url,
    }


def _series(series: ImagedSeries) -> Json:
    row: Json = {
        "uid": series.uid,
        "modality": {"system": DICOM_CODES, "code": series.modality or "MR"},
        "bodySite": _coding(codes_of("site_lumbar")[0]),
        "numberOfInstances": series.instances,
    }
    if series.number is not None:
        row["number"] = series.number
    if series.description:
        row["description"] = series.description
    return row


def _observation(value: Value, wishes: Wishes) -> Json:
    code = lookup(LOINC, value.loinc)
    assert code is not None  # QUANTITIES names only codes of the table; tested
    return {
        "resourceType": "Observation",
        "id": f"{wishes.patient_id}-{value.name}",
        "status": "final",
        "category": [{"coding": [{"system": OBSERVATION_CATEGORY, "code": value.category}]}],
        "code": _concept(code),
        "subject": {"reference": f"Patient/{wishes.patient_id}"},
        "effectiveDateTime": value.date.isoformat(),
        "valueQuantity": {"value": value.value, "unit": value.unit, "system": UCUM, "code": value.unit},
    }


def _conditions(wishes: Wishes, values: Collection[Value], anchor: dt.date, rng: np.random.Generator) -> list[Json]:
    """Menopause, a prior fracture (in the paper 50 of 137, most of them at low T-scores) and what was asked for."""
    t_score = next((value.value for value in values if value.name == "t-score"), -2.48)
    fractured = bool(rng.random() < 1 / (1 + np.exp(1.4 * (t_score + 3.1))))
    if wishes.history_vf is not None:
        fractured = wishes.history_vf
    codes = []
    if "menopause" not in wishes.without and wishes.gender != "male":
        codes.append(("menopause", "76498008", 12 * 365))
    if fractured and "history-vf" not in wishes.without:
        codes.append(("history-vf", codes_of("vertebral_fracture")[0].code, 900))
    codes += [(f"condition-{code}", code, 400) for code in dict.fromkeys(wishes.conditions)]
    return [_condition(name, code, anchor - dt.timedelta(days=days), wishes) for name, code, days in codes]


def _condition(name: str, snomed: str, onset: dt.date, wishes: Wishes) -> Json:
    code = lookup(SNOMED_CT, snomed)
    concept = _concept(code) if code else {"coding": [{"system": SNOMED_CT, "code": snomed}]}
    return {
        "resourceType": "Condition",
        "id": f"{wishes.patient_id}-{name}",
        "clinicalStatus": {"coding": [{"system": CONDITION_CLINICAL, "code": "active"}]},
        "verificationStatus": {"coding": [{"system": CONDITION_VERIFICATION, "code": "confirmed"}]},
        "code": concept,
        "subject": {"reference": f"Patient/{wishes.patient_id}"},
        "onsetDateTime": onset.isoformat(),
        "recordedDate": onset.isoformat(),
    }


def _concept(code: Code) -> Json:
    return {"coding": [_coding(code)], "text": code.display}


def _coding(code: Code) -> Json:
    return {"system": code.system, "code": code.code, "display": code.display}


def described(bundle: Mapping[str, Any]) -> dict[str, int]:
    """How many resources of each type a Bundle holds."""
    types = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    return {name: types.count(name) for name in dict.fromkeys(types)}
