"""A cohort under the dictionary's names, with what the paper derives from it."""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.data.dictionary import Column, known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import UnusableCohort

DXA_ORDER = ("normal", "osteopenia", "osteoporosis")


@dataclass(frozen=True)
class Cohort:
    """Rows with a known outcome. Missing columns are None, missing cells NaN."""

    table: Table
    columns: dict[str, str]
    "dictionary name -> column of the table"
    time: Floats
    event: Bools
    rows_read: int
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.time)

    def has(self, *names: str) -> bool:
        return all(name in self.columns for name in names)

    def numbers(self, name: str) -> Floats:
        """A column by its dictionary name (n,)."""
        return self.table.numbers(self.columns[name])

    def text(self, name: str) -> list[str | None]:
        return self.table.text(self.columns[name])


def standard_cohort(table: Table) -> Cohort:
    """Find the dictionary's columns, leave out rows without outcome. Raises UnusableCohort."""
    from vbq.cohort.fit import event_column

    columns: dict[str, str] = {}
    for name in table.columns:
        column: Column | None = known(name)
        if column is None:
            continue
        if column.name in columns:
            raise UnusableCohort(
                f"{table.source}: columns '{columns[column.name]}' and '{name}' both mean {column.name}; rename one"
            )
        columns[column.name] = name
    absent = [name for name in ("event", "follow_up") if name not in columns]
    if absent:
        raise UnusableCohort(
            f"{table.source} has no column for {' and '.join(absent)}; rename the right one, or say which it is in a "
            "--map file"
        )
    event = event_column(table, columns["event"])
    time = table.numbers(columns["follow_up"])
    negative = np.flatnonzero(time < 0)
    if len(negative):
        raise UnusableCohort(
            f"{table.source}, column '{columns['follow_up']}', {table.where(negative)}: negative follow-up; "
            "check the dates behind it"
        )
    kept = ~(np.isnan(event) | np.isnan(time))
    if not kept.any():
        raise UnusableCohort(f"{table.source}: no row has both event and follow-up")
    notes = []
    if not kept.all():
        notes.append(f"{int((~kept).sum())} of {table.n} rows have no outcome or no follow-up and are left out")
    return Cohort(table.rows(kept), columns, time[kept], event[kept] == 1, table.n, tuple(notes))


def dxa_classes(t_score: Floats, history: Floats | None) -> list[str | None]:
    """WHO: normal T >= -1; osteoporosis T <= -2.5, or osteopenia with a fragility fracture; osteopenia between."""
    classes: list[str | None] = []
    for row, t in enumerate(t_score):
        if np.isnan(t):
            classes.append(None)
        elif t <= -2.5:
            classes.append("osteoporosis")
        elif t >= -1.0:
            classes.append("normal")
        elif history is not None and history[row] == 1:
            classes.append("osteoporosis")
        else:
            classes.append("osteopenia")
    return classes


def bone_status(cohort: Cohort) -> tuple[list[str | None] | None, list[str]]:
    """(DXA class of each row, notes): the file's own column, checked against the T-scores; else derived from them."""
    history = cohort.numbers("history_vf") if cohort.has("history_vf") else None
    derived = dxa_classes(cohort.numbers("t_score"), history) if cohort.has("t_score") else None
    if not cohort.has("dxa_category"):
        notes = [] if derived is None else ["DXA classes are derived from T-score and history of fracture (WHO)"]
        return derived, notes
    stated = [None if value is None else value.casefold() for value in cohort.text("dxa_category")]
    strange = sorted({value for value in stated if value is not None and value not in DXA_ORDER})
    if strange:
        rows = [i for i, value in enumerate(stated) if value in strange]
        raise UnusableCohort(
            f"{cohort.table.source}, column '{cohort.columns['dxa_category']}', {cohort.table.where(rows)}: "
            f"not one of {', '.join(DXA_ORDER)}; recode it"
        )
    if derived is None:
        return list(stated), []
    differ = [i for i, (a, b) in enumerate(zip(stated, derived, strict=True)) if a and b and a != b]
    if not differ:
        return list(stated), []
    note = (
        f"the DXA category of {len(differ)} rows ({cohort.table.where(differ)}) is not what T-score and history of "
        "fracture give by the WHO rule; the stated category is used"
    )
    return list(stated), [note]
