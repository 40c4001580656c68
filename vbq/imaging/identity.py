"""Whose study is it? The identity that pixels carry, compared with the FHIR Patient that the event names."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import IdentityMismatch
from schemas.measurement import Reason

DICOM_SEX = {"F": "female", "M": "male", "O": "other"}


@dataclass(frozen=True, repr=False)
class StudyIdentity:
    """What a study's headers say of its patient; None where they do not. Never enters a Measurement or a log.

    It is kept beside the measurement (`as_document`), to be compared again when the Patient changes.
    """

    patient_id: str | None = None
    issuer: str | None = None
    birth_date: dt.date | None = None
    sex: str | None = None
    """As DICOM writes it: F, M or O."""

    def as_document(self) -> dict[str, str | None]:
        """As JSON; `contradiction` reads it."""
        born = self.birth_date.isoformat() if self.birth_date else None
        return {"patient_id": self.patient_id, "issuer": self.issuer, "birth_date": born, "sex": self.sex}


def check_identity(identity: StudyIdentity, patient: Mapping[str, Any]) -> list[Reason]:
    """Compare a study's identity with a FHIR Patient resource (parsed JSON).

    Raises IdentityMismatch (without the values) where the Patient has identifiers and none is the study's PatientID, or
    where birth date or sex contradict. Returns flags: `identity-unverified` where no PatientID could be compared.
    """
    values = _identifier_values(patient)
    if identity.patient_id and values and identity.patient_id.strip() not in values:
        raise IdentityMismatch(
            "the study's PatientID is none of the Patient's identifiers; check that the ImagingStudy names the right "
            "patient, or add the archive's identifier to the Patient",
            code="identity-patient-id",
        )
    born = _full_date(patient.get("birthDate"))
    if born and identity.birth_date and born != identity.birth_date:
        raise IdentityMismatch(
            "the study's birth date is not the Patient's; check that the ImagingStudy names the right patient",
            code="identity-birth-date",
        )
    gender, sex = patient.get("gender"), DICOM_SEX.get(identity.sex or "")
    if {gender, sex} == {"female", "male"}:
        raise IdentityMismatch(
            "the study's sex is not the Patient's; check that the ImagingStudy names the right patient",
            code="identity-sex",
        )
    if identity.patient_id and values:
        return []
    missing = "the study names no PatientID" if not identity.patient_id else "the Patient has no identifier"
    text = f"{missing}, so nothing proves that the images are this patient's"
    return [Reason(code="identity-unverified", text=text)]


def contradiction(document: Mapping[str, Any], patient: Mapping[str, Any]) -> Reason | None:
    """Why a study that was measured as this patient's is not hers any more, now that her record says `patient`."""
    born = document.get("birth_date")
    identity = StudyIdentity(
        patient_id=document.get("patient_id"),
        issuer=document.get("issuer"),
        birth_date=dt.date.fromisoformat(born) if born else None,
        sex=document.get("sex"),
    )
    try:
        check_identity(identity, patient)
    except IdentityMismatch as error:
        return Reason(code=error.reason_code, text=error.detail)
    return None


def _identifier_values(patient: Mapping[str, Any]) -> set[str]:
    identifiers = patient.get("identifier")
    if not isinstance(identifiers, list):
        return set()
    found = (row.get("value") for row in identifiers if isinstance(row, Mapping))
    return {value.strip() for value in found if isinstance(value, str) and value.strip()}


def _full_date(text: object) -> dt.date | None:
    """A year or a month is not a birth date: it cannot contradict one either."""
    try:
        return dt.date.fromisoformat(text) if isinstance(text, str) and len(text) == 10 else None
    except ValueError:
        return None
