"""Whom a model may be asked about: its population, and the exclusions of the cohort that it was made from."""

import datetime as dt
from dataclasses import dataclass, field

from schemas.clinical import InputName, Merged, PatientFacts
from schemas.measurement import Reason
from schemas.model import Population
from vbq.clinical.history import exclusions


@dataclass(frozen=True, slots=True)
class Eligibility:
    """`outside`: why the model must not be asked. `missing`: what would have to be known to tell."""

    outside: list[Reason] = field(default_factory=list)
    missing: list[InputName] = field(default_factory=list)


def eligibility(facts: PatientFacts, merged: Merged, population: Population, as_of: dt.datetime) -> Eligibility:
    """Compare what the record states with `population`; what it does not state is missing, never assumed here.

    (The one assumption, menopause from a configured age, is made and labelled by the merge.)
    """
    outside = [*_by_sex_and_menopause(merged, population), *_by_age(merged, population)]
    if facts.person is not None and facts.person.deceased:
        outside.append(Reason(code="deceased", text="The record states that the patient has died."))
    outside += exclusions(facts.conditions, as_of)
    return Eligibility(outside=outside, missing=_missing(merged, population))


def _by_sex_and_menopause(merged: Merged, population: Population) -> list[Reason]:
    sex, menopause = merged.get("sex"), merged.get("menopause")
    if population.sex != "any" and sex is not None and sex.value != population.sex:
        text = f"The model was derived from {'women' if population.sex == 'female' else 'men'} only."
        return [Reason(code="sex", text=text)]
    if population.menopause == "post" and menopause is not None and menopause.value in {"pre", "during"}:
        state = "before" if menopause.value == "pre" else "during"
        text = f"The model was derived from women after menopause; the record states {state} menopause."
        return [Reason(code="not-postmenopausal", text=text)]
    return []


def _by_age(merged: Merged, population: Population) -> list[Reason]:
    age = merged.get("age_years")
    if age is None:
        return []
    years = float(age.value)
    if population.minimum_age_years is not None and years < population.minimum_age_years:
        text = f"The model was derived from patients of {population.minimum_age_years:g} years and above."
        return [Reason(code="too-young", text=text)]
    if population.maximum_age_years is not None and years > population.maximum_age_years:
        text = f"The model was derived from patients of {population.maximum_age_years:g} years and below."
        return [Reason(code="too-old", text=text)]
    return []


def _missing(merged: Merged, population: Population) -> list[InputName]:
    missing: list[InputName] = []
    if population.sex != "any" and merged.get("sex") is None:
        missing.append("sex")
    if merged.get("age_years") is None:
        missing.append("age_years")
    menopause = merged.get("menopause")
    if population.menopause == "post" and (menopause is None or menopause.value == "contradictory"):
        missing.append("menopause")
    return missing
