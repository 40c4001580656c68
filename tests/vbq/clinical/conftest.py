"""Builders of records: everything a test does not mention is plain and valid."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from schemas.clinical import Coding, ObservedQuantity, PatientFacts, Person, StatedCondition
from schemas.codes import LOINC, SNOMED_CT

AS_OF = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def as_of() -> dt.datetime:
    return AS_OF


@pytest.fixture
def observed() -> Callable[..., ObservedQuantity]:
    def make(code: str, value: float | None, unit: str | None, on: str | None = "2024-01-10", **more: Any) -> Any:
        moment = dt.datetime.fromisoformat(on) if on and len(on) >= 10 else None
        if moment is not None and moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        settings = {
            "reference": f"Observation/{code}-{on}",
            "status": "final",
            "codings": [Coding(system=LOINC, code=code)],
            "value": value,
            "unit": unit,
            "effective": moment,
            "effective_text": on,
        }
        return ObservedQuantity(**{**settings, **more})

    return make


@pytest.fixture
def condition() -> Callable[..., StatedCondition]:
    def make(code: str, recorded: str | None = "2020-01-01", **more: Any) -> StatedCondition:
        settings = {
            "reference": f"Condition/{code}-{recorded}",
            "codings": [Coding(system=SNOMED_CT, code=code)],
            "clinical_status": "active",
            "verification_status": "confirmed",
            "recorded": dt.date.fromisoformat(recorded) if recorded else None,
        }
        return StatedCondition(**{**settings, **more})

    return make


@pytest.fixture
def facts() -> Callable[..., PatientFacts]:
    def make(*rows: Any, gender: str | None = "female", born: str | None = "1952-03-04", **more: Any) -> PatientFacts:
        birth = dt.date.fromisoformat(born) if born and len(born) == 10 else None
        person = Person(reference="Patient/p1", gender=gender, birth_date=birth, birth_date_text=born, **more)
        return PatientFacts(
            person=person,
            observations=[row for row in rows if isinstance(row, ObservedQuantity)],
            conditions=[row for row in rows if isinstance(row, StatedCondition)],
        )

    return make
