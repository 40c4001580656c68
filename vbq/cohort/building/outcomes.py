"""What became of each woman: from a file of outcomes, or from what the record states after the study."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from schemas.clinical import PatientFacts
from vbq.clinical.history import read_conditions
from vbq.clinical.observe import COUNTING_STATUS
from vbq.cohort.data.dictionary import known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import UnusableCohort

DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """`years` to the event or to the last look; `observed_years` to the last look, event or not."""

    event: bool
    years: float
    observed_years: float


def read_outcomes(table: Table) -> dict[str, Outcome]:
    """Columns patient (as the events name her), event (0 or 1) and follow_up (years from the study).

    Raises UnusableCohort naming lines, never what is in them.
    """
    names = {column.name: name for name in table.columns if (column := known(name)) is not None}
    missing = [name for name in ("id", "event", "follow_up") if name not in names]
    if missing:
        wanted = {"id": "patient"}
        lacking = ", ".join(wanted.get(name, name) for name in missing)
        raise UnusableCohort(f"{table.source} has no column {lacking}; outcomes need patient, event and follow_up")
    patients = table.text(names["id"])
    events, years = table.numbers(names["event"]).tolist(), table.numbers(names["follow_up"]).tolist()
    found: dict[str, Outcome] = {}
    for line, patient, event, year in zip(table.lines.tolist(), patients, events, years, strict=True):
        where = f"{table.source}, {table.place} {line}"
        if patient is None or event not in (0.0, 1.0) or not year > 0:
            text = "patient, event (0 or 1) and follow_up (years, above 0) are all needed; take the line out"
            raise UnusableCohort(f"{where}: {text}")
        if patient in found:
            raise UnusableCohort(f"{where}: this patient was named before; keep one line per patient")
        found[patient] = Outcome(event == 1.0, year, year)
    return found


def stated_outcome(
    facts: PatientFacts, studies: list[dt.date], study: dt.date, baseline: dt.date, now: dt.datetime
) -> Outcome | None:
    """The first vertebral fracture that a Condition dates after `baseline`, else event-free until the last entry.

    `study` is the day that years count from. None where the record holds nothing later than `baseline`: then nobody
    looked, and "no fracture recorded" is not "no fracture".
    """
    stated, _ = read_conditions(facts.conditions, now)
    dated = [(item.row.recorded, item.concept) for item in stated if item.row.recorded is not None]
    fractures = [day for day, concept in dated if concept == "vertebral_fracture" and day > baseline]
    seen = [day for day, _ in dated] + [
        row.effective.date() for row in facts.observations if row.effective and row.status in COUNTING_STATUS
    ]
    later = [day for day in (*seen, *studies) if baseline < day <= now.date()]
    if not later:
        return None
    observed = (max(later) - study).days / DAYS_A_YEAR
    if not fractures:
        return Outcome(False, observed, observed)
    return Outcome(True, (min(fractures) - study).days / DAYS_A_YEAR, observed)
