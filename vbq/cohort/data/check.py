"""Is a cohort file sound? Every problem with its column and lines, and what to do about it."""

import datetime as dt
import difflib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vbq.clinical.units import factor, stated_units
from vbq.cohort.arrays import Floats
from vbq.cohort.data.dictionary import COLUMNS, Column, known
from vbq.cohort.data.standard import DXA_ORDER, dxa_classes
from vbq.cohort.data.table import LARGEST, Table, parse_numbers
from vbq.cohort.errors import UnusableCohort
from vbq.cohort.visit_times import look_for_visit_times

Severity = Literal["error", "warning"]
FEW = 10
LISTED = 200
"""Lines listed for one problem in the JSON; the count is always whole."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem in one column."""

    severity: Severity
    column: str
    text: str
    suggestion: str
    lines: tuple[int, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a file."""

    source: str
    rows: int
    place: str
    columns: dict[str, dict[str, object]]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, object]:
        """Keys of `vbq cohort check --json`."""
        problems = [
            {
                "severity": p.severity,
                "column": p.column,
                "lines": list(p.lines),
                "count": p.count,
                "problem": p.text,
                "suggestion": p.suggestion,
            }
            for p in self.problems
        ]
        return {
            "ok": self.ok,
            "source": self.source,
            "rows": self.rows,
            "columns": self.columns,
            "problems": problems,
        }

    def lines(self) -> list[str]:
        """For people."""
        found = [f"{self.source}: {self.rows} rows, {len(self.columns)} columns"]
        for p in self.problems:
            places = self.place if p.count == 1 else f"{self.place}s"
            at = f", {places} {', '.join(map(str, p.lines[:5]))}" if p.lines else ""
            more = f" and {p.count - 5} more" if p.count > 5 and p.lines else ""
            found.append(f"{p.severity}: column {p.column}{at}{more}: {p.text}; {p.suggestion}")
        return [*found, "sound" if self.ok else "must be repaired before it is analysed"]


class _Findings:
    """Collects problems of one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.found: list[Problem] = []

    def add(self, severity: Severity, column: str, rows: object, text: str, suggestion: str) -> None:
        index = np.asarray(rows, dtype=np.int64).ravel()
        lines = tuple(int(self.table.lines[row]) for row in index[:LISTED])
        self.found.append(Problem(severity, column, text, suggestion, lines, len(index)))


def check_table(table: Table) -> Checked:
    """Types, units, ranges, missing cells, duplicates, dates, and whether the columns agree with each other."""
    notes = _Findings(table)
    columns: dict[str, dict[str, object]] = {}
    numbers: dict[str, Floats] = {}
    seen: dict[str, str] = {}
    for name in table.columns:
        column = known(name)
        missing = sum(value is None for value in table.text(name))
        columns[name] = {
            "known_as": column.name if column else None,
            "kind": column.kind if column else "unknown",
            "unit": column.unit if column else None,
            "missing": missing,
            "missing_percent": 100 * missing / table.n,
        }
        if missing == table.n:
            notes.add("warning", name, [], "is empty in every row", "leave it out or fill it")
        elif missing > 0.2 * table.n:
            notes.add("warning", name, [], f"{100 * missing / table.n:.0f} % missing", "impute (MICE) or leave it out")
        if column is None:
            _unknown(notes, name)
        elif column.name in seen:
            notes.add("error", name, [], f"means the same as '{seen[column.name]}'", "rename or remove one of them")
        else:
            seen[column.name] = name
            values = _one_column(notes, name, column)
            if values is not None:
                numbers[column.name] = values
    for column in COLUMNS:
        if column.required and column.name not in seen:
            text = "is not in the file"
            notes.add("error", column.name, [], text, f"name the column of '{column.label}' in a --map file")
    _whole_rows(notes)
    _together(notes, seen, numbers)
    return Checked(table.source, table.n, table.place, columns, tuple(notes.found))


def _unknown(notes: _Findings, name: str) -> None:
    names = [alias for column in COLUMNS for alias in (column.name, *column.aliases)]
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.75)
    if near:
        notes.add("warning", name, [], "is not in the data dictionary", f"if it is '{near[0]}', rename it (--map)")


def _one_column(notes: _Findings, name: str, column: Column) -> Floats | None:
    if column.kind == "identifier":
        _identifiers(notes, name)
        return None
    if column.kind == "date":
        _dates(notes, name)
        return None
    if column.kind == "category":
        _categories(notes, name, column)
        return None
    table = notes.table
    values, bad = parse_numbers(table.arrow.column(name), table.decimal)
    if len(bad):
        notes.add("error", name, bad, *table.problem(name, bad))
    endless = np.flatnonzero(np.abs(values) > LARGEST)
    if len(endless):
        text = "infinite or beyond 1e100"
        notes.add("error", name, endless, text, "write the true number or leave the cell empty")
        values = np.where(np.abs(values) > LARGEST, np.nan, values)
    measured = values[~np.isnan(values)]
    if len(measured) > 1 and measured.min() == measured.max() and not column.required:
        notes.add("warning", name, [], "has one and the same value in every row", "it predicts nothing; leave it out")
    if column.kind == "yes-no":
        wrong = np.flatnonzero(~np.isnan(values) & ~np.isin(values, (0, 1)))
        if len(wrong):
            twos = set(values[~np.isnan(values)]) <= {1.0, 2.0}
            hint = "recode 2 as 1 (yes) and 1 as 0 (no), here or in a --map file" if twos else "code no as 0, yes as 1"
            notes.add("error", name, wrong, "not 0 or 1", hint)
        return values
    _range(notes, name, column, values)
    return values


def _range(notes: _Findings, name: str, column: Column, values: Floats) -> None:
    if column.low is None or column.high is None:
        return
    outside = np.flatnonzero((values < column.low) | (values > column.high))
    if not len(outside):
        return
    unit = f" {column.unit}" if column.unit not in {"", "1"} else ""
    hint = "correct those cells or leave them empty"
    if len(outside) > 0.5 * np.isfinite(values).sum():
        hint = (
            _other_unit(column, values) or "the whole column seems to be in another unit: convert it with a --map file"
        )
    notes.add("error", name, outside, f"outside {column.low:g} to {column.high:g}{unit}", hint)


def _other_unit(column: Column, values: Floats) -> str | None:
    """A suggestion where another known unit would make the column plausible."""
    if column.served is None or column.low is None or column.high is None:
        return None
    for unit in stated_units(column.served):
        by = factor(column.served, unit)
        if by is None or by == 1.0:
            continue
        inside = (values * by >= column.low) & (values * by <= column.high)
        if inside.sum() > 0.9 * np.isfinite(values).sum():
            return f'the values look like {unit}; convert them with a --map file: {{to: {column.name}, unit: "{unit}"}}'
    return None


def _identifiers(notes: _Findings, name: str) -> None:
    first: dict[str, int] = {}
    repeated, empty = [], []
    for row, value in enumerate(notes.table.text(name)):
        if value is None:
            empty.append(row)
        elif value in first:
            repeated.append(row)
        else:
            first[value] = row
    if repeated:
        notes.add("error", name, repeated, "an identifier that occurred before", "keep one row per person")
    if empty:
        notes.add("warning", name, empty, "no identifier", "give each person one")


def _dates(notes: _Findings, name: str) -> None:
    wrong = []
    for row, value in enumerate(notes.table.text(name)):
        if value is None:
            continue
        try:
            dt.date.fromisoformat(value[:10])
        except ValueError:
            wrong.append(row)
    if wrong:
        notes.add("error", name, wrong, "not a date", "write dates as YYYY-MM-DD")


def _categories(notes: _Findings, name: str, column: Column) -> None:
    if not column.categories:
        return
    cells = notes.table.text(name)
    wrong = [row for row, value in enumerate(cells) if value is not None and value.casefold() not in column.categories]
    if wrong:
        notes.add("error", name, wrong, f"not one of {', '.join(column.categories)}", "translate it with a --map file")


def _whole_rows(notes: _Findings) -> None:
    """The same person entered twice under two identifiers."""
    table = notes.table
    measured = [name for name in table.columns if not (c := known(name)) or c.kind != "identifier"]
    if len(measured) < 4:
        return
    first: set[tuple[str | None, ...]] = set()
    repeated = []
    for row, cells in enumerate(zip(*(table.text(name) for name in measured), strict=True)):
        if cells in first:
            repeated.append(row)
        first.add(cells)
    if repeated:
        notes.add("warning", "(all)", repeated, "the same values as an earlier row", "remove people entered twice")


def _together(notes: _Findings, seen: dict[str, str], numbers: dict[str, Floats]) -> None:
    """Columns against each other."""
    if "follow_up" in numbers:
        zero = np.flatnonzero(numbers["follow_up"] == 0)
        if len(zero):
            notes.add("warning", seen["follow_up"], zero, "no follow-up", "check whether they were followed at all")
    if {"follow_up", "event"} <= set(numbers):
        time, event = numbers["follow_up"], numbers["event"]
        whole = np.isfinite(time) & (time >= 0) & np.isin(event, (0, 1))
        if whole.any() and not (event[whole] == 1).any():
            notes.add("error", seen["event"], [], "nobody has the event", "check the coding: 1 is the event")
        elif whole.any():
            if np.isin(event[~np.isnan(event)], (0, 1)).all():
                _events(notes, seen["event"], int((event[whole] == 1).sum()), int(whole.sum()))
            visits = look_for_visit_times(time[whole], event[whole] == 1)
            if visits.recognised:
                notes.add(
                    "warning", seen["follow_up"], [], visits.sentence, "see `vbq model fit --kind current-status`"
                )
    if {"baseline_date", "follow_up_date"} <= set(seen):
        _date_order(notes, seen["baseline_date"], seen["follow_up_date"])
    if "dxa_category" in seen and "t_score" in numbers:
        derived = dxa_classes(numbers["t_score"], numbers.get("history_vf"))
        stated = [value.casefold() if value else None for value in notes.table.text(seen["dxa_category"])]
        pairs = enumerate(zip(stated, derived, strict=True))
        differ = [row for row, (a, b) in pairs if a in DXA_ORDER and b is not None and a != b]
        if differ:
            text = "not what T-score and history of fracture give by the WHO rule"
            notes.add("warning", seen["dxa_category"], differ, text, "check T-score, history or category")


def _events(notes: _Findings, name: str, events: int, people: int) -> None:
    if events == people and people > 1:
        notes.add("warning", name, [], "everybody has the event", "check the coding: 0 is no event seen")
    elif min(events, people - events) < FEW:
        text = f"{events} of {people} have the event"
        notes.add("warning", name, [], text, f"a model wants at least {FEW} people with and without it per covariate")


def _date_order(notes: _Findings, first: str, last: str) -> None:
    wrong = []
    for row, (a, b) in enumerate(zip(notes.table.text(first), notes.table.text(last), strict=True)):
        if a and b and len(a) == len(b) and a > b:
            wrong.append(row)
    if wrong:
        notes.add("error", last, wrong, f"earlier than {first}", "correct the dates")


def require_sound(table: Table) -> None:
    """Raise UnusableCohort with every error of a file at once."""
    found = check_table(table)
    if not found.ok:
        raise UnusableCohort("\n".join(found.lines()), [problem.text for problem in found.problems])
