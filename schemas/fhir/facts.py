"""The resources of one patient as facts: every observation, condition and the demographics, as sent. Nothing is judged.

A value that cannot be read as a number is kept with `problem`, so that the merge can say why it does not count.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from schemas.clinical import Coding, ObservedQuantity, PatientFacts, Person, StatedCondition
from schemas.errors import IdentityMismatch
from schemas.fhir import narrow
from schemas.fhir.systems import CONDITION_CLINICAL, CONDITION_VERIFICATION, UCUM

_FULL_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def patient_facts(resources: Iterable[Mapping[str, Any]]) -> PatientFacts:
    """The facts in `resources` (parsed JSON), which must all belong to one patient; other types are passed over.

    Raises NotAcceptable where a resource is not what schemas.fhir.narrow takes, IdentityMismatch where there are two
    Patients with different ids.
    """
    person: Person | None = None
    observations: list[ObservedQuantity] = []
    conditions: list[StatedCondition] = []
    for resource in resources:
        if resource.get("resourceType") not in ("Patient", "Observation", "Condition"):
            continue
        match narrow.read(resource, resource["resourceType"]):
            case narrow.Patient() as patient:
                found = person_of(patient)
                if person is not None and person.reference != found.reference:
                    raise IdentityMismatch("two different Patients among one patient's resources; nothing was used")
                person = found
            case narrow.Observation() as observation:
                observations.extend(quantities_of(observation))
            case narrow.Condition() as condition:
                conditions.append(condition_of(condition))
            case _:
                continue
    return PatientFacts(person=person, observations=observations, conditions=conditions)


def person_of(patient: narrow.Patient) -> Person:
    """Demographics as stated; a birth date that is only a year or a month is kept as text alone."""
    return Person(
        reference=f"Patient/{patient.id}",
        gender=patient.gender,
        birth_date=_day(patient.birth_date),
        birth_date_text=patient.birth_date,
        deceased=bool(patient.deceased_boolean) or patient.deceased_date_time is not None,
        active=patient.active is not False,
    )


def quantities_of(observation: narrow.Observation) -> list[ObservedQuantity]:
    """The observation's own value, if it has one (or nothing else), then one row per component."""
    reference = _reference(observation)
    when, text = _effective(observation)
    common: dict[str, Any] = {
        "status": observation.status,
        "effective": when,
        "effective_text": text,
        "body_sites": _codings(observation.body_site),
    }
    rows = []
    if _has_value(observation) or not observation.component:
        rows.append(ObservedQuantity(reference=reference, **_value(observation), **common))
    for index, component in enumerate(observation.component):
        rows.append(ObservedQuantity(reference=f"{reference}#component[{index}]", **_value(component), **common))
    return rows


def condition_of(condition: narrow.Condition) -> StatedCondition:
    """The condition as stated, with its onset or else the day on which it was recorded."""
    onset = condition.onset_date_time or (condition.onset_period.start if condition.onset_period else None)
    return StatedCondition(
        reference=_reference(condition),
        codings=_codings(condition.code),
        clinical_status=_code_of(condition.clinical_status, CONDITION_CLINICAL),
        verification_status=_code_of(condition.verification_status, CONDITION_VERIFICATION),
        recorded=_day(onset) or _day(condition.recorded_date),
    )


def _reference(resource: narrow.Known) -> str:
    version = resource.meta.version_id if resource.meta else None
    plain = f"{resource.resource_type}/{resource.id}"
    return f"{plain}/_history/{version}" if version else plain


def _codings(concept: narrow.Concept | None) -> list[Coding]:
    return [Coding(**dict(coding)) for coding in concept.coding] if concept else []


def _code_of(concept: narrow.Concept | None, system: str) -> str | None:
    return next((coding.code for coding in concept.coding if coding.system == system), None) if concept else None


def _has_value(item: narrow.Valued) -> bool:
    return any(
        value is not None
        for value in (
            item.value_quantity,
            item.value_integer,
            item.value_string,
            item.value_codeable_concept,
            item.value_boolean,
            item.data_absent_reason,
        )
    )


def _value(item: narrow.Valued) -> dict[str, Any]:
    quantity = item.value_quantity
    value = quantity.value if quantity else None if item.value_integer is None else float(item.value_integer)
    problem = None
    if item.data_absent_reason is not None:
        value, problem = None, "it states a dataAbsentReason"
    elif quantity is not None and quantity.comparator is not None:
        value, problem = None, "it has a comparator: a bound is no value"
    elif value is None:
        problem = "its value is not a quantity" if _has_value(item) else "it has no value"
    return {"codings": _codings(item.code), "value": value, "unit": _unit(quantity), "problem": problem}


def _unit(quantity: narrow.QuantityElement | None) -> str | None:
    """The UCUM code; where the quantity has none, the printed unit; a code of another system only in need."""
    if quantity is None:
        return None
    if quantity.system == UCUM and quantity.code:
        return quantity.code
    return quantity.unit or (quantity.code if quantity.system is None else None)


def _effective(observation: narrow.Observation) -> tuple[dt.datetime | None, str | None]:
    """When it was true: a moment, and the text as sent. A period counts from its end, the latest it speaks of."""
    period = observation.effective_period
    text = (
        observation.effective_date_time
        or observation.effective_instant
        or (period.end or period.start if period else None)
    )
    return (_moment(text) if text else None), text


def _moment(text: str) -> dt.datetime | None:
    """A FHIR dateTime as a moment; a date is its midnight UTC; None for a month or a year, or no real date."""
    if len(text) < len("2024-01-01"):
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _day(text: str | None) -> dt.date | None:
    """The calendar day that `text` begins with; None where it has none."""
    if text is None or not _FULL_DATE.match(text):
        return None
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None
