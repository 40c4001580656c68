"""An assessment: what the system can say of one patient from one study at one moment, including that it cannot."""

import datetime as dt
from typing import Literal

from pydantic import Field

from schemas.clinical import ClinicalInput, IgnoredInput
from schemas.measurement import Measurement, Reason
from schemas.record import Record

AssessmentState = Literal[
    "complete", "incomplete", "needs_regions", "needs_confirmation", "not_measurable", "outside_population", "withdrawn"
]
RiskClass = Literal["low", "moderate", "high"]


class ModelRef(Record):
    """Which model spoke."""

    id: str
    version: str
    digest: str = Field(description="SHA-256 of the canonical artefact, hex")
    inputs: list[str] = Field(
        default_factory=list, description="names of the inputs that it predicts from; empty where not recorded"
    )


class Risk(Record):
    """A predicted probability (0-1) of a new or worsened vertebral fracture within the horizon."""

    horizon_years: float
    risk: float
    lower: float
    upper: float
    level: float = 0.95
    risk_class: RiskClass
    flags: list[Reason] = Field(default_factory=list, description="e.g. a value outside the model's training range")


class Assessment(Record):
    """One state of one patient. `key` hashes study, model and inputs: the same inputs give the same assessment."""

    id: str = Field(description="UUIDv5 of the patient and the key; also the RiskAssessment's id")
    key: str = Field(description="SHA-256, hex")
    patient: str = Field(description="reference, e.g. Patient/p1, or absolute where several senders are configured")
    state: AssessmentState
    reasons: list[Reason] = Field(default_factory=list)
    missing: list[str] = Field(
        default_factory=list, description="input names that the model needs and that are not there"
    )
    study: str | None = Field(default=None, description="ImagingStudy reference")
    measurement: Measurement | None = None
    inputs: list[ClinicalInput] = Field(default_factory=list)
    ignored: list[IgnoredInput] = Field(default_factory=list)
    risk: Risk | None = None
    model: ModelRef
    software: str = Field(description="name and version of this software")
    created: dt.datetime
    replaced_by: str | None = Field(
        default=None, description="Patient reference that stands in the place of `patient` after a merge"
    )
    supersedes: str | None = Field(default=None, description="id of the assessment that this one replaces")
