"""Images of another patient must not become this patient's result."""

import datetime as dt

import pytest

from schemas.errors import IdentityMismatch
from vbq.imaging.identity import StudyIdentity, check_identity

HERS = StudyIdentity(patient_id="SYNTH-0007", birth_date=dt.date(1950, 3, 1), sex="F")
PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:example:ehr", "value": "9"}, {"system": "urn:example:pacs", "value": "SYNTH-0007"}],
    "birthDate": "1950-03-01",
    "gender": "female",
}


def test_a_shared_identifier_and_agreeing_demographics_pass_without_a_flag() -> None:
    assert check_identity(HERS, PATIENT) == []
    assert check_identity(StudyIdentity(patient_id="SYNTH-0007"), PATIENT) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"identifier": [{"value": "SYNTH-0008"}]}, "identity-patient-id"),
        ({"birthDate": "1950-03-02"}, "identity-birth-date"),
        ({"gender": "male"}, "identity-sex"),
    ],
)
def test_a_contradiction_is_an_identity_mismatch_that_tells_no_value(change: dict[str, object], code: str) -> None:
    with pytest.raises(IdentityMismatch) as caught:
        check_identity(HERS, {**PATIENT, **change})
    assert caught.value.reason_code == code
    assert "SYNTH" not in caught.value.detail
    assert "1950" not in caught.value.detail


@pytest.mark.parametrize(
    ("identity", "patient"),
    [
        (StudyIdentity(), PATIENT),
        (HERS, {**PATIENT, "identifier": []}),
        (HERS, {"resourceType": "Patient"}),
        (HERS, {**PATIENT, "identifier": [{"system": "urn:example:pacs"}, "nonsense", {"value": 7}]}),
    ],
)
def test_where_nothing_can_be_compared_a_flag_says_so(identity: StudyIdentity, patient: dict[str, object]) -> None:
    assert [flag.code for flag in check_identity(identity, patient)] == ["identity-unverified"]


def test_a_year_of_birth_neither_proves_nor_contradicts() -> None:
    assert check_identity(HERS, {**PATIENT, "birthDate": "1951"}) == []
    assert check_identity(HERS, {**PATIENT, "gender": "unknown"}) == []


def test_the_identity_does_not_print_itself() -> None:
    assert "SYNTH" not in repr(HERS)
