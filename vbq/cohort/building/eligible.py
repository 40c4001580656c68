"""One woman of the store: does she belong to the cohort, and with which values? Pure.

Values are those of the baseline: the day of the first measured lumbar MR and some days after it. What was recorded
later is never used, or the cohort would know its own future.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.clinical import Merged, PatientFacts
from schemas.config import MergePolicy
from schemas.measurement import Measurement, MeasurementStatus
from schemas.model import Population
from vbq.clinical.eligibility import Eligibility, eligibility
from vbq.clinical.history import EXCLUSIONS
from vbq.clinical.merge import merge
from vbq.cohort.building.outcomes import Outcome, stated_outcome
from vbq.cohort.data.dictionary import COLUMNS
from vbq.cohort.data.standard import dxa_classes

POPULATION: Final = Population(sex="female", menopause="post", description="women after menopause (Lin et al. 2025)")
STEPS: Final = (
    "patients in the store",
    "with a lumbar MR study",
    "with a measured VBQ",
    "women after menopause",
    "without an exclusion of the paper",
    "with a T-score of the lumbar spine",
    "with a known outcome",
    "observed for long enough",
)
_NOT_MEASURED: Final[dict[MeasurementStatus, str]] = {
    "needs_confirmation": "the levels wait for a person's confirmation",
    "needs_regions": "no regions on the images yet",
    "not_measurable": "the images cannot be measured",
}
_OTHERS: Final = {
    "sex": "not women by the record",
    "not-postmenopausal": "before or during menopause",
}
_UNKNOWN: Final = {"sex": "sex is not recorded", "menopause": "menopausal state is not known"}
Cell = float | str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides. baseline_days: this long after the study a value still counts as baseline."""

    policy: MergePolicy
    now: dt.datetime
    baseline_days: int = 30
    minimum_years: float = 5.0
    unrecorded_history_is_no: bool = False


@dataclass(frozen=True, slots=True)
class Study:
    """A lumbar MR study: when, and what was measured on it."""

    day: dt.date | None
    measurement: Measurement | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that the store says of one patient. Whose it is stays behind."""

    facts: PatientFacts | None
    "None: the record was deleted, or cannot be read"
    studies: tuple[Study, ...]
    outcome: Outcome | None = None
    "of the file of outcomes, where there is one"


@dataclass(frozen=True, slots=True)
class Fallen:
    """Did not reach STEPS[step]."""

    step: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the cohort, without its number."""

    values: dict[str, Cell]
    event: bool


def consider(person: Recorded, rules: Rules, *, outcomes_given: bool) -> Member | Fallen:
    """`person` as a row, or the first step that she did not reach."""
    if person.facts is None:
        return Fallen(1, "no-record", "the record was deleted or cannot be read")
    if not person.studies:
        return Fallen(1, "no-study", "no lumbar MR study")
    chosen = baseline_study(person.studies)
    if isinstance(chosen, Fallen):
        return chosen
    day, measurement = chosen
    last = day + dt.timedelta(days=rules.baseline_days)
    end = dt.datetime.combine(last, dt.time.max, dt.UTC)
    facts = up_to(person.facts, last)
    merged = merge(facts, end, day, rules.policy)
    if (fallen := _outside(facts, merged, end)) is not None:
        return fallen
    if merged.get("t_score") is None:
        return Fallen(5, "no-t-score", "no T-score of the lumbar spine within its window")
    outcome = person.outcome
    if not outcomes_given:
        days = [study.day for study in person.studies if study.day is not None]
        outcome = stated_outcome(person.facts, days, day, last, rules.now)
    if outcome is None:
        text = "not in the file of outcomes" if outcomes_given else "nothing in the record after the baseline"
        return Fallen(6, "no-outcome", text)
    if outcome.observed_years < rules.minimum_years:
        return Fallen(7, "short", f"observed for less than {rules.minimum_years:g} years")
    return Member(_values(merged, measurement, outcome, rules), outcome.event)


def baseline_study(studies: tuple[Study, ...]) -> tuple[dt.date, Measurement] | Fallen:
    """The first measured study with a date, or why there is none."""
    found = [study.measurement for study in studies if study.measurement is not None]
    measured = [study for study in studies if study.measurement is not None and study.measurement.status == "measured"]
    dated = [(study.day, study.measurement) for study in measured if study.day and study.measurement]
    if dated:
        return min(dated, key=lambda pair: pair[0])
    if measured:
        return Fallen(2, "no-date", "the measured study has no date")
    for status, text in _NOT_MEASURED.items():
        if any(row.status == status for row in found):
            return Fallen(2, status.replace("_", "-"), text)
    return Fallen(2, "not-yet-measured", "the study was not measured yet")


def up_to(facts: PatientFacts, last: dt.date) -> PatientFacts:
    """What was true by the end of the day `last`, or has no date."""
    return facts.but(
        observations=[row for row in facts.observations if row.effective is None or row.effective.date() <= last],
        conditions=[row for row in facts.conditions if row.recorded is None or row.recorded <= last],
    )


def _outside(facts: PatientFacts, merged: Merged, end: dt.datetime) -> Fallen | None:
    """By the rules that decide whom a model may be asked about, as of the baseline: who died since was alive then."""
    person = facts.person.but(deceased=False) if facts.person else None
    found = eligibility(facts.but(person=person), merged, POPULATION, end)
    return next(_reasons(found), None)


def _reasons(found: Eligibility) -> Iterator[Fallen]:
    codes = [reason.code for reason in found.outside]
    yield from (Fallen(3, code, text) for code, text in _OTHERS.items() if code in codes)
    yield from (Fallen(3, f"no-{name}", text) for name, text in _UNKNOWN.items() if name in found.missing)
    for concept, text in EXCLUSIONS.items():
        if (code := concept.replace("_", "-")) in codes:
            yield Fallen(4, code, text)


def _values(merged: Merged, measurement: Measurement, outcome: Outcome, rules: Rules) -> dict[str, Cell]:
    inputs = {column.name: merged.get(column.served) for column in COLUMNS if column.served is not None}
    known = {name: float(found.value) for name, found in inputs.items() if found is not None}
    if "history_vf" not in known and rules.unrecorded_history_is_no:
        known["history_vf"] = 0.0
    t_score, history = np.array([known["t_score"]]), np.array([known.get("history_vf", np.nan)])
    acquisition = measurement.acquisition
    scanner = " ".join(part for part in (acquisition.manufacturer, acquisition.model_name) if part)
    return {
        **known,
        "vbq": measurement.vbq,
        "event": float(outcome.event),
        "follow_up": max(round(outcome.years, 2), 0.01),
        "dxa_category": dxa_classes(t_score, history)[0],
        "field_strength": acquisition.field_strength_t,
        "scanner": scanner or None,
    }
