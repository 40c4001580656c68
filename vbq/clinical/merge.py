"""All that is known of a patient, merged into one input per name: the latest valid value within its window.

The order in which observations arrive never matters. What does not count is kept with its reason, without its value.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Final, get_args

from schemas.clinical import ClinicalInput, IgnoredInput, InputName, Merged, PatientFacts, Person
from schemas.config import MergePolicy
from vbq.clinical.clearance import estimated_clearance
from vbq.clinical.history import menopause, read_conditions, vertebral_fracture
from vbq.clinical.ignored import IgnoredCode, ignored
from vbq.clinical.observe import Candidate, read
from vbq.clinical.units import UNIT_OF

LABELS: Final[dict[InputName, str]] = {
    "t_score": "DXA T-score, lumbar spine (L1-L4)",
    "t_score_hip": "DXA T-score, hip",
    "t_score_femur": "DXA T-score, femur",
    "t_score_forearm": "DXA T-score, forearm",
    "weight_kg": "Body weight",
    "creatinine_umol_l": "Creatinine",
    "crcl_ml_min": "Creatinine clearance",
    "alp_u_l": "Alkaline phosphatase",
    "calcium_mmol_l": "Calcium, total",
    "phosphate_mmol_l": "Phosphate",
    "urate_umol_l": "Urate",
    "glucose_mmol_l": "Glucose",
}
_ORDER: Final = {name: place for place, name in enumerate(get_args(InputName))}
_OLDEST_YEARS: Final = 125


def merge(facts: PatientFacts, as_of: dt.datetime, study_date: dt.date | None, policy: MergePolicy) -> Merged:
    """One input per name, and what was ignored.

    A value counts if its day is not more than its window before `study_date` (before `as_of` where there is no study);
    later values count as well, the latest wins. `as_of` must carry a time zone.
    """
    anchor = study_date or as_of.date()
    readings = [reading for row in facts.observations if (reading := read(row, as_of)) is not None]
    left_out = [row for row in readings if isinstance(row, IgnoredInput)]
    candidates = [row for row in readings if isinstance(row, Candidate)]

    chosen: dict[InputName, ClinicalInput] = {}
    for name in LABELS:
        row, passed_over = _latest(name, [row for row in candidates if row.name == name], anchor, policy)
        left_out += passed_over
        if row is not None:
            chosen[name] = _as_input(row, as_of, policy)

    stated, ignored_conditions = read_conditions(facts.conditions, as_of)
    left_out += ignored_conditions
    person, ignored_person = _demographics(facts.person, anchor)
    left_out += ignored_person
    for found in (*person, vertebral_fracture(stated), menopause(stated)):
        if found is not None:
            chosen[found.name] = found
    if "menopause" not in chosen and (assumed := _assumed_menopause(chosen, policy)):
        chosen["menopause"] = assumed
    if "crcl_ml_min" not in chosen and (estimate := _clearance(chosen, facts.person)):
        chosen["crcl_ml_min"] = estimate

    return Merged(
        inputs=sorted(chosen.values(), key=lambda row: _ORDER[row.name]),
        ignored=sorted(left_out, key=lambda row: (row.about, row.source, row.code, str(row.date), row.text)),
    )


def window_days(name: InputName, policy: MergePolicy) -> int:
    """How many days before the study a value of `name` still counts."""
    if name.startswith("t_score"):
        return policy.t_score_window_days
    return policy.weight_window_days if name == "weight_kg" else policy.laboratory_window_days


def _latest(
    name: InputName, candidates: Iterable[Candidate], anchor: dt.date, policy: MergePolicy
) -> tuple[Candidate | None, list[IgnoredInput]]:
    days = window_days(name, policy)
    # in day numbers, which cannot run off the calendar as dates do
    first = anchor.toordinal() - days
    valid, left_out = [], []
    for row in candidates:
        if row.date.toordinal() < first:
            left_out.append(_pass_over(row, "too-old", f"it is more than {days} days before the study"))
        else:
            valid.append(row)
    if not valid:
        return None, left_out
    best = max(valid, key=_rank)
    for row in valid:
        if row is best:
            continue
        if row.concept != best.concept and row.when > best.when:
            text = "a measured clearance is there"
        else:
            text = "a later value is there" if row.when < best.when else "another value of the same time was taken"
        left_out.append(_pass_over(row, "superseded", text))
    return best, left_out


def _rank(row: Candidate) -> tuple[bool, dt.datetime, bool, float, str]:
    """A measured clearance goes before a computed one whatever its date; then the latest; then a correction.

    Of two values of the same moment the lower counts (so for T-scores the worse side, as is the custom of reading
    DXA), and of two equal ones the one with the greater reference, so that the order of arrival never matters.
    """
    return row.how == "measured", row.when, row.corrected, -row.value, row.source


def _as_input(row: Candidate, as_of: dt.datetime, policy: MergePolicy) -> ClinicalInput:
    return ClinicalInput(
        name=row.name,
        label=LABELS[row.name],
        value=row.value,
        unit=UNIT_OF[row.name],
        date=row.date,
        source=row.source,
        how=row.how,
        note=row.note,
        stale=is_stale(row.date, as_of, policy),
    )


def is_stale(date: dt.date, as_of: dt.datetime, policy: MergePolicy) -> bool:
    """Whether a value of `date` is too old to be shown as current; it may still count for its study."""
    return (as_of.date() - date).days > policy.stale_after_days


def _pass_over(row: Candidate, code: IgnoredCode, text: str) -> IgnoredInput:
    return ignored(row.source, row.name, code, text, row.date)


def completed_years(birth: dt.date, on: dt.date) -> int:
    """Age in completed years; someone born on 29 February turns a year older on 1 March of a common year."""
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def _demographics(person: Person | None, anchor: dt.date) -> tuple[list[ClinicalInput], list[IgnoredInput]]:
    """Sex and age on the anchor's day; what the record does not say is left out."""
    if person is None:
        return [], []
    found: list[ClinicalInput] = []
    left_out: list[IgnoredInput] = []
    source = person.reference
    if person.gender in {"female", "male", "other"}:
        found.append(_stated("sex", "Sex as recorded", person.gender, source))
    if person.birth_date is not None:
        age = completed_years(person.birth_date, anchor)
        if 0 <= age <= _OLDEST_YEARS:
            found.append(_stated("age_years", "Age at the study", age, source, date=anchor))
        else:
            text = f"the birth date gives an age outside 0 to {_OLDEST_YEARS} years"
            left_out.append(ignored(source, "age_years", "implausible", text))
    elif person.birth_date_text:
        text = "the birth date names no day"
        left_out.append(ignored(source, "age_years", "partial-date", text))
    return found, left_out


def _stated(
    name: InputName, label: str, value: float | str, source: str, *, date: dt.date | None = None
) -> ClinicalInput:
    return ClinicalInput(
        name=name, label=label, value=value, unit=UNIT_OF[name], date=date, source=source, how="stated"
    )


def _assumed_menopause(chosen: dict[InputName, ClinicalInput], policy: MergePolicy) -> ClinicalInput | None:
    sex, age = chosen.get("sex"), chosen.get("age_years")
    limit = policy.assumed_postmenopausal_age
    if sex is None or sex.value != "female" or age is None or float(age.value) < limit:
        return None
    return ClinicalInput(
        name="menopause",
        label="Menopausal state",
        value="post",
        unit="",
        date=age.date,
        source="derived",
        how="assumed",
        note=f"assumed from an age of {limit} years or more; no record states it",
    )


def _clearance(chosen: dict[InputName, ClinicalInput], person: Person | None) -> ClinicalInput | None:
    creatinine, sex = chosen.get("creatinine_umol_l"), chosen.get("sex")
    if creatinine is None or creatinine.date is None or "age_years" not in chosen:
        return None
    if person is None or person.birth_date is None:
        return None
    age = completed_years(person.birth_date, creatinine.date)
    return estimated_clearance(creatinine, chosen.get("weight_kg"), age, str(sex.value) if sex else None)
