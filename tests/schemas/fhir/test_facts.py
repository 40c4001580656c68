"""Resources to facts: everything kept as sent, what cannot be read said so."""

import datetime as dt
from typing import Any

import pytest

from schemas.clinical import ObservedQuantity
from schemas.errors import IdentityMismatch, NotAcceptable
from schemas.fhir.facts import patient_facts


def only(resource: Any) -> ObservedQuantity:
    (row,) = patient_facts([resource]).observations
    return row


def test_an_observation_is_kept_as_sent_with_its_version(make: Any) -> None:
    site = {"coding": [{"system": "http://snomed.info/sct", "code": "122496007"}]}
    row = only(make.observation(meta={"versionId": "2"}, bodySite=site))
    assert row.reference == "Observation/o1/_history/2"
    assert (row.value, row.unit, row.status, row.problem) == (-2.4, "{T-score}", "final", None)
    assert row.codings[0].code == "38267-1"
    assert row.body_sites[0].code == "122496007"


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ({"unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL"}, "mg/dL"),
        ({"unit": "mg/dL"}, "mg/dL"),
        ({"unit": "mg/dL", "system": "urn:local", "code": "17"}, "mg/dL"),
        ({"system": "urn:local", "code": "17"}, None),
        ({"code": "mg/dL"}, "mg/dL"),
        ({}, None),
    ],
)
def test_the_unit_is_the_ucum_code_or_else_what_is_printed(make: Any, quantity: Any, unit: str | None) -> None:
    assert only(make.observation(valueQuantity={"value": 1, **quantity})).unit == unit


@pytest.mark.parametrize(
    ("changes", "moment", "text"),
    [
        ({"effectiveDateTime": "2023-12-01"}, dt.datetime(2023, 12, 1, tzinfo=dt.UTC), "2023-12-01"),
        (
            {"effectiveDateTime": "2023-12-01T10:00:00+02:00"},
            dt.datetime(2023, 12, 1, 8, tzinfo=dt.UTC),
            "2023-12-01T10:00:00+02:00",
        ),
        ({"effectiveDateTime": "2023-12"}, None, "2023-12"),
        ({"effectiveDateTime": "2023"}, None, "2023"),
        ({"effectiveDateTime": "2023-02-30"}, None, "2023-02-30"),
        ({"effectiveDateTime": None}, None, None),
        (
            {"effectiveDateTime": None, "effectiveInstant": "2023-12-01T10:00:00.5Z"},
            dt.datetime(2023, 12, 1, 10, 0, 0, 500_000, tzinfo=dt.UTC),
            "2023-12-01T10:00:00.5Z",
        ),
        (
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2023-11-01", "end": "2023-11-02"}},
            dt.datetime(2023, 11, 2, tzinfo=dt.UTC),
            "2023-11-02",
        ),
        (
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2023-11-01"}},
            dt.datetime(2023, 11, 1, tzinfo=dt.UTC),
            "2023-11-01",
        ),
    ],
)
def test_when_it_was_true(make: Any, changes: Any, moment: dt.datetime | None, text: str | None) -> None:
    row = only(make.observation(**changes))
    assert (row.effective, row.effective_text) == (moment, text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valueQuantity": {"value": 1, "comparator": "<"}}, "comparator"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": "x"}}, "dataAbsentReason"),
        ({"dataAbsentReason": {"text": "x"}}, "dataAbsentReason"),
        ({"valueQuantity": None, "valueString": "-2.4"}, "not a quantity"),
        ({"valueQuantity": None}, "no value"),
        ({"valueQuantity": {"unit": "kg"}}, "not a quantity"),
    ],
)
def test_a_value_that_cannot_be_read_is_kept_with_the_reason(make: Any, changes: Any, words: str) -> None:
    row = only(make.observation(**changes))
    assert row.value is None
    assert row.problem is not None
    assert words in row.problem


def test_an_integer_is_a_number(make: Any) -> None:
    row = only(make.observation(valueQuantity=None, valueInteger=-2))
    assert (row.value, row.unit, row.problem) == (-2.0, None, None)


def test_each_component_of_a_panel_is_a_quantity_of_its_own(make: Any) -> None:
    spine = {"code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]}, "valueQuantity": {"value": -2.4}}
    hip = {"code": {"coding": [{"system": "http://loinc.org", "code": "38264-8"}]}, "dataAbsentReason": {"text": "x"}}
    panel = make.observation(code={"text": "DXA"}, valueQuantity=None, component=[spine, hip], status="amended")
    rows = patient_facts([panel]).observations
    assert [row.reference for row in rows] == ["Observation/o1#component[0]", "Observation/o1#component[1]"]
    assert [row.value for row in rows] == [-2.4, None]
    assert {row.status for row in rows} == {"amended"}
    assert len({row.effective for row in rows}) == 1
    both = patient_facts([make.observation(component=[spine])]).observations
    assert [row.reference for row in both] == ["Observation/o1", "Observation/o1#component[0]"]


def test_a_condition_keeps_its_two_statuses_apart(make: Any) -> None:
    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    verification = {"coding": [{"system": "urn:local", "code": "yes"}, {"system": system, "code": "refuted"}]}
    sent = make.condition(verificationStatus=verification, onsetDateTime="2019", recordedDate="2020-05-04")
    (row,) = patient_facts([sent]).conditions
    assert (row.clinical_status, row.verification_status) == ("active", "refuted")
    assert row.recorded == dt.date(2020, 5, 4)


@pytest.mark.parametrize(
    ("sent", "day"), [("1951-02-03", dt.date(1951, 2, 3)), ("1951-02", None), ("1951", None), ("1951-02-31", None)]
)
def test_a_year_is_no_birth_date(make: Any, sent: str, day: dt.date | None) -> None:
    person = patient_facts([make.patient(birthDate=sent)]).person
    assert person is not None
    assert (person.birth_date, person.birth_date_text) == (day, sent)


def test_the_person_may_have_died_or_be_inactive(make: Any) -> None:
    alive = patient_facts([make.patient()]).person
    dead = patient_facts([make.patient(deceasedDateTime="2024-01", active=False)]).person
    assert alive is not None
    assert dead is not None
    assert (alive.deceased, alive.active, dead.deceased, dead.active) == (False, True, True, False)


def test_two_patients_are_never_one_persons_facts(make: Any) -> None:
    assert patient_facts([make.patient(), make.patient()]).person is not None
    with pytest.raises(IdentityMismatch):
        patient_facts([make.patient(), make.patient(id="p2")])


def test_other_resources_are_passed_over_and_broken_ones_refused(make: Any) -> None:
    assert patient_facts([make.imaging_study()]).observations == []
    with pytest.raises(NotAcceptable):
        patient_facts([make.observation(status="bogus")])
