"""A cohort as columns, each row knowing its line in the file, so that a complaint can say where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vbq.cohort.arrays import Bools, Floats, Ints
from vbq.cohort.data.cells import GENERAL, kind_of
from vbq.cohort.errors import UnusableCohort

if TYPE_CHECKING:
    import pandas as pd

Decimal = Literal["point", "comma"]
MISSING = ("", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "<NA>", "NULL", "null", "None", ".", "-")
LARGEST = 1e100
"""No measurement is larger, and sums of squares beyond it overflow."""
LOOKED_AT = 1_000
"""Cells that are looked at to say of what kind a column's wrong cells are."""
SHOWN = 5
"""Lines listed in one message before it says 'and N more'."""


@dataclass(frozen=True)
class Table:
    """Columns of one length. `lines` (n,) is the line of each row in the file, or its number counting from 1."""

    source: str
    arrow: Any = field(repr=False)
    "pyarrow.Table; text columns hold what the file says"
    lines: Ints = field(repr=False)
    decimal: Decimal = "point"
    place: str = "line"

    @property
    def n(self) -> int:
        return len(self.lines)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.arrow.column_names)

    def require(self, names: Iterable[str]) -> None:
        """Raise UnusableCohort for columns that are not there, with the nearest names."""
        import difflib

        absent = [name for name in names if name not in self.columns]
        if not absent:
            return
        parts = []
        for name in absent:
            folded = {column.casefold(): column for column in self.columns}
            near = difflib.get_close_matches(name.casefold(), folded, n=1)
            parts.append(f"'{name}'" + (f" (did you mean '{folded[near[0]]}'?)" if near else ""))
        raise UnusableCohort(
            f"{self.source} has no column {', '.join(parts)}; its columns are {', '.join(self.columns)}"
        )

    def where(self, rows: Ints | Sequence[int]) -> str:
        """'line 4', 'lines 4, 9 and 12', at most a few and then a count."""
        numbers = [str(self.lines[row]) for row in rows[:SHOWN]]
        more = len(rows) - len(numbers)
        if len(numbers) == 1 and not more:
            return f"{self.place} {numbers[0]}"
        tail = f" and {more} more" if more else ""
        return f"{self.place}s {', '.join(numbers)}{tail}"

    def text(self, name: str) -> list[str | None]:
        """The column as trimmed text, None where missing."""
        self.require([name])
        values = self.arrow.column(name).to_pylist()
        cleaned = [None if value is None else str(value).strip() for value in values]
        return [None if value is None or value in MISSING else value for value in cleaned]

    def numbers(self, name: str) -> Floats:
        """The column as numbers (n,), NaN where missing. Raises UnusableCohort naming the lines that hold text."""
        self.require([name])
        values, bad = parse_numbers(self.arrow.column(name), self.decimal)
        if len(bad):
            raise UnusableCohort(f"{self.source}, column '{name}': {self.complaint(name, bad)}")
        endless = np.flatnonzero(np.abs(values) > LARGEST)
        if len(endless):
            raise UnusableCohort(
                f"{self.source}, column '{name}', {self.where(endless)}: infinite or beyond 1e100; "
                "write the true number, or leave the cell empty if it is not known"
            )
        return values

    def complaint(self, name: str, bad: Ints) -> str:
        """What is wrong with cells that are not numbers, without showing them."""
        what, advice = self.problem(name, bad)
        return f"{self.where(bad)}: {what}; {advice}"

    def problem(self, name: str, bad: Ints) -> tuple[str, str]:
        """(what cells that are not numbers are instead, what to do)."""
        cells = self.arrow.column(name)
        kind = kind_of([str(cells[int(row)].as_py()) for row in bad[:LOOKED_AT]])
        if self.decimal == "comma" and kind.what in {"decimal commas", GENERAL.what}:
            advice = (
                "if the file has decimal points, read it without --decimal comma; else correct or empty those cells"
            )
            return "not a number with a decimal comma", advice
        return kind.what, kind.advice

    def matrix(self, names: Sequence[str]) -> Floats:
        """(n, p) numbers of several columns."""
        self.require(names)
        return np.column_stack([self.numbers(name) for name in names]) if names else np.zeros((self.n, 0))

    def rows(self, keep: Bools | Ints) -> "Table":
        """The table with only the rows of a mask (n,) or of indices."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        return Table(self.source, self.arrow.take(index), self.lines[index], self.decimal, self.place)


def parse_numbers(column: Any, decimal: Decimal) -> tuple[Floats, Ints]:
    """(values (n,), rows that are neither numbers nor missing)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        if pa.types.is_null(column.type):
            return np.full(len(column), np.nan), np.zeros(0, dtype=np.int64)
        if pa.types.is_temporal(column.type):
            return np.full(len(column), np.nan), np.flatnonzero(column.is_valid().to_numpy()).astype(np.int64)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        try:
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.zeros(0, dtype=np.int64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes and other types that are no numbers
            return np.full(len(column), np.nan), np.flatnonzero(column.is_valid().to_numpy()).astype(np.int64)
    trimmed = pc.utf8_trim_whitespace(column)
    known = pc.if_else(pc.is_in(trimmed, value_set=pa.array(MISSING)), None, trimmed)
    if decimal == "comma":
        ambiguous = pc.match_substring(known, ".")
        known = pc.if_else(ambiguous, "?", pc.replace_substring(known, ",", "."))
    try:
        return known.cast(pa.float64()).to_numpy(zero_copy_only=False), np.zeros(0, dtype=np.int64)
    except pa.ArrowInvalid:
        return _slowly(known.to_pylist())


def _slowly(cells: list[str | None]) -> tuple[Floats, Ints]:
    values = np.full(len(cells), np.nan)
    bad = []
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        try:
            values[row] = float(cell) if "_" not in cell else np.nan
            if "_" in cell:
                bad.append(row)
        except ValueError:
            bad.append(row)
    return values, np.array(bad, dtype=np.int64)


def from_frame(frame: "pd.DataFrame", source: str = "the data frame") -> Table:
    """A Table of a pandas DataFrame; rows are counted from 1."""
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame, pd.DataFrame):
        raise UnusableCohort(f"{source} is a {type(frame).__name__}; give a pandas DataFrame (pd.DataFrame(...))")
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UnusableCohort(f"{source}: column {', '.join(repeated)} occurs more than once; rename one")
    if frame.empty:
        raise UnusableCohort(f"{source} has no rows or no columns")
    try:
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # objects of several types in one column: as the text that they show
        plain = {
            name: column.map(str, na_action="ignore") if column.dtype == object else column
            for name, column in frame.items()
        }
        arrow = pa.Table.from_pandas(pd.DataFrame(plain), preserve_index=False)
    return Table(source, arrow, np.arange(1, len(frame) + 1), place="row")
