"""How a patient is called."""

import pytest

from schemas.errors import NotAcceptable
from schemas.fhir.reference import base_of, patient_key, qualified, read_reference

EHR = "https://ehr.example/fhir"


@pytest.mark.parametrize(
    ("reference", "base", "several", "key"),
    [
        ("Patient/p1", None, False, "Patient/p1"),
        ("Patient/p1", EHR, False, "Patient/p1"),
        ("Patient/p1/_history/3", EHR, False, "Patient/p1"),
        (f"{EHR}/Patient/p1", EHR, False, "Patient/p1"),
        (f"{EHR}/Patient/p1", f"{EHR}/", False, "Patient/p1"),
        (f"{EHR}/Patient/p1", None, False, "Patient/p1"),
        ("https://other.example/Patient/p1", EHR, False, "https://other.example/Patient/p1"),
        ("Patient/p1", EHR, True, f"{EHR}/Patient/p1"),
        (f"{EHR}/Patient/p1", None, True, f"{EHR}/Patient/p1"),
        ("https://other.example/Patient/p1", EHR, True, "https://other.example/Patient/p1"),
    ],
)
def test_a_patient_has_one_name(reference: str, base: str | None, several: bool, key: str) -> None:
    assert patient_key(reference, base, several) == key


@pytest.mark.parametrize(
    "reference",
    ["", "p1", "Group/g1", "urn:uuid:1", "#p1", "Patient/?", "Patient/a b", "Patient?identifier=1", "Patient/p1\n"],
)
def test_what_names_no_patient_is_refused_without_being_repeated(reference: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        patient_key(reference, None, several=False)
    assert caught.value.reason_code == "patient-reference"
    assert not reference or reference not in caught.value.detail


def test_a_relative_reference_among_several_servers_needs_its_senders_base() -> None:
    with pytest.raises(NotAcceptable, match="fhir_base_url"):
        patient_key("Patient/p1", None, several=True)


def test_a_reference_is_taken_apart() -> None:
    found = read_reference(f"{EHR}/Observation/o-1.2/_history/7")
    assert found is not None
    assert tuple(found) == (EHR, "Observation", "o-1.2", "7")
    assert found.relative == "Observation/o-1.2"


def test_references_are_qualified_by_the_patients_server() -> None:
    assert base_of(f"{EHR}/Patient/p1") == EHR
    assert base_of("Patient/p1") is None
    assert qualified("Observation/o1/_history/2", EHR) == f"{EHR}/Observation/o1/_history/2"
    assert qualified(f"{EHR}/Observation/o1", "https://other.example") == f"{EHR}/Observation/o1"
    assert qualified("derived", EHR) == "derived"
