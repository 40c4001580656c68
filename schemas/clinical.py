"""What is known of a patient, read narrowly from FHIR: observations, conditions, demographics; and what was made of it.

Reading keeps every observation that could matter; deciding which counts is vbq/clinical's business.
"""

import datetime as dt
from typing import Literal

from pydantic import Field

from schemas.record import Record


class Coding(Record):
    """system + code; the display is what the sender wrote and is never trusted for meaning."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class ObservedQuantity(Record):
    """An Observation as sent: value with the unit that it states (UCUM code preferred over the printed unit)."""

    reference: str = Field(description="e.g. Observation/o1, with version where known: Observation/o1/_history/2")
    status: str
    codings: list[Coding]
    value: float | None = None
    unit: str | None = Field(
        default=None, description="the UCUM code where the quantity has one, else its printed unit"
    )
    effective: dt.datetime | None = Field(
        default=None, description="when it was true; a date counts as its midnight UTC"
    )
    effective_text: str | None = Field(default=None, description="as sent, e.g. 2023-12-01 or 2023-12")
    body_sites: list[Coding] = Field(default_factory=list)
    problem: str | None = Field(
        default=None, description="why no number could be read, e.g. a comparator or a dataAbsentReason"
    )


class StatedCondition(Record):
    """A Condition as sent."""

    reference: str
    codings: list[Coding]
    clinical_status: str | None = None
    verification_status: str | None = None
    recorded: dt.date | None = Field(default=None, description="onset or recorded date")


class Person(Record):
    """Demographics; None means that the record does not say."""

    reference: str
    gender: str | None = None
    birth_date: dt.date | None = None
    birth_date_text: str | None = Field(default=None, description="as sent; a year or a month is not a birth date")
    deceased: bool = False
    active: bool = True


class PatientFacts(Record):
    """All that the merge sees of one patient."""

    person: Person | None
    observations: list[ObservedQuantity] = Field(default_factory=list)
    conditions: list[StatedCondition] = Field(default_factory=list)


InputName = Literal[
    "vbq",
    "t_score",
    "t_score_hip",
    "t_score_femur",
    "t_score_forearm",
    "weight_kg",
    "creatinine_umol_l",
    "crcl_ml_min",
    "alp_u_l",
    "age_years",
    "sex",
    "menopause",
    "history_vf",
    "calcium_mmol_l",
    "phosphate_mmol_l",
    "urate_umol_l",
    "glucose_mmol_l",
]


class ClinicalInput(Record):
    """A value that counts, with its date and source."""

    name: InputName
    label: str = Field(description="for people, e.g. 'DXA T-score, lumbar spine (L1-L4)'")
    value: float | bool | str
    unit: str = Field(description="UCUM; '1' for a pure number, '{T-score}' for a T-score, '' for yes/no and words")
    date: dt.date | None
    source: str = Field(description="a FHIR reference, or 'derived'")
    how: Literal["measured", "estimated", "assumed", "stated"] = "measured"
    note: str | None = Field(
        default=None, description="e.g. how an estimate was made, or the unit it was converted from"
    )
    stale: bool = Field(default=False, description="older than the configured window for showing as current")


class IgnoredInput(Record):
    """A value that was seen and does not count, and why. Never holds the value itself."""

    source: str
    about: str = Field(description="a concept such as t_score, or the code as sent")
    date: dt.date | None = None
    code: str = Field(
        description="stable reason code, e.g. no-unit, implausible, superseded, z-score, wrong-site, too-old"
    )
    text: str


class Merged(Record):
    """The inputs of one patient after the merge."""

    inputs: list[ClinicalInput]
    ignored: list[IgnoredInput]

    def get(self, name: InputName) -> ClinicalInput | None:
        """The input called `name`, if there is one."""
        return next((row for row in self.inputs if row.name == name), None)
