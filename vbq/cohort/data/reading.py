"""Bytes of a CSV or Parquet file to a Table. Hostile until parsed: every refusal says where and what to do."""

import csv
import io
import re
from typing import Any

import numpy as np

from vbq.cohort.arrays import Bools, Ints
from vbq.cohort.data.table import Decimal, Table
from vbq.cohort.errors import UnusableCohort

PARQUET_MAGIC = b"PAR1"
LONGEST_HEADER = 1_000_000
SEPARATOR_LINE = re.compile(rb'"?sep=[;,|\t]"?\r?\n', re.IGNORECASE)
"""What Excel writes above the header of some CSV files."""


def read_table(data: bytes, source: str, decimal: Decimal = "point") -> Table:
    """A cohort file as a Table; `source` is what messages call it.

    CSV with comma, semicolon or tab, UTF-8 with or without a byte order mark, or UTF-16; Parquet by its magic bytes.
    Raises UnusableCohort.
    """
    if not data.strip():
        raise UnusableCohort(f"{source} is empty; give a CSV file with a header line, or a Parquet file")
    if data[:4] == PARQUET_MAGIC:
        return read_parquet(data, source)
    if data[:4] == b"PK\x03\x04":
        raise UnusableCohort(f"{source} is a spreadsheet or archive, not text; save the sheet as CSV (UTF-8) first")
    return read_csv(as_utf8(data, source), source, decimal)


def as_utf8(data: bytes, source: str) -> bytes:
    """The text without its byte order mark, in UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise UnusableCohort(f"{source} is broken UTF-16 text; save it as CSV (UTF-8)") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnusableCohort(f"{source}, line {line}: not UTF-8 text; save the file as CSV (UTF-8)") from error
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise UnusableCohort(f"{source}, line {line}: binary data in a text file; export it again as CSV (UTF-8)")
    if b"\n" not in data:  # lines of an old Mac, or of a spreadsheet on a new one
        data = data.replace(b"\r", b"\n")
    return data


def header_of(data: bytes, source: str) -> tuple[list[str], str]:
    """(column names, delimiter) from the first line."""
    first = data[:LONGEST_HEADER].split(b"\n", 1)[0].decode("utf-8", errors="replace").rstrip("\r")
    if not first.strip():
        raise UnusableCohort(f"{source}, line 1: empty; the first line must name the columns")
    delimiter = max(",;\t|", key=first.count)
    try:
        names = [name.strip() for name in next(csv.reader(io.StringIO(first), delimiter=delimiter))]
    except csv.Error as error:
        raise UnusableCohort(
            f"{source}, line 1: these are no column names; the first line must name the columns, each in few words"
        ) from error
    names = [name or f"(column {place})" for place, name in enumerate(names, 1)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    numeric = sum(_is_number(name) for name in names)
    if numeric == len(names) or (repeated and 2 * numeric > len(names)):
        raise UnusableCohort(f"{source}, line 1: numbers where the column names should be; add a header line")
    if repeated:
        raise UnusableCohort(f"{source}, line 1: column {', '.join(repeated)} occurs more than once; rename one")
    return names, delimiter


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def read_csv(data: bytes, source: str, decimal: Decimal) -> Table:
    """CSV text in UTF-8 to a Table of text columns."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    above = SEPARATOR_LINE.match(data)
    data = data[above.end() :] if above else data
    names, delimiter = header_of(data, source)
    ragged: list[tuple[int, int, str]] = []

    def note(row: Any) -> str:
        ragged.append((int(row.number) + bool(above), int(row.actual_columns), row.text[:40]))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(use_threads=False, skip_rows=1, column_names=names, block_size=1 << 24),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )
    except pa.ArrowInvalid as error:  # its own text may quote the file, so it is not passed on
        raise UnusableCohort(
            f"{source} cannot be read as CSV; look for a quotation mark that is never closed or a line of many "
            "megabytes, and export the file again"
        ) from error
    wrong = [(line, found) for line, found, text in ragged if text.strip()]
    if wrong:
        raise ragged_lines(source, wrong, names, delimiter)
    lines = line_numbers(data, table.num_rows) + bool(above)
    filled = rows_with_text(table)
    if not filled.all():
        table, lines = table.filter(pa.array(filled)), lines[filled]
    if table.num_rows == 0:
        raise UnusableCohort(f"{source} has a header and no rows")
    return Table(source, table, lines, decimal)


def ragged_lines(source: str, wrong: list[tuple[int, int]], names: list[str], delimiter: str) -> UnusableCohort:
    """The refusal for rows with more or fewer cells than the header; `wrong` are (line, cells)."""
    line, found = wrong[0]
    if len(names) == 1 and found > 1:
        hint = "line 1 must name the columns; is it a title or a remark? Then take it out"
    elif delimiter == "," and found > len(names):
        hint = "a decimal comma in a comma-separated file looks like this: save with decimal points or with semicolons"
    else:
        hint = "check the delimiters and quotation marks of that line"
    more = f" (and {len(wrong) - 1} more such lines)" if len(wrong) > 1 else ""
    columns = "1 column" if len(names) == 1 else f"{len(names)} columns"
    return UnusableCohort(f"{source}, line {line}: {found} cells where the header names {columns}{more}; {hint}")


def rows_with_text(table: Any) -> Bools:
    """Which rows hold anything; blank lines come as rows of empty cells."""
    import pyarrow.compute as pc

    filled = np.zeros(table.num_rows, dtype=np.bool_)
    for column in table.columns:
        filled |= pc.not_equal(column, "").to_numpy(zero_copy_only=False)
        if filled.all():
            break
    return filled


def line_numbers(data: bytes, rows: int) -> Ints:
    """The line at which each of the rows below the header begins, blank lines counted as rows."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if lines != rows + 1 and b'"' in data:  # cells hold line breaks: a slower look
        starts = []
        reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
        before = 0
        try:
            for _ in reader:
                starts.append(before + 1)
                before = reader.line_num
        except csv.Error:  # a cell of more than 128 kB; lines are then counted as if no cell held a line break
            starts = []
        if len(starts) == rows + 1:
            return np.array(starts[1:], dtype=np.int64)
    return np.arange(2, rows + 2, dtype=np.int64)


def read_parquet(data: bytes, source: str) -> Table:
    """Parquet to a Table; rows are counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(pa.BufferReader(data)).names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UnusableCohort(f"{source}: column {', '.join(repeated)} occurs more than once; rename one")
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise UnusableCohort(f"{source} is a damaged Parquet file; write it again") from error
    if table.num_rows == 0:
        raise UnusableCohort(f"{source} has no rows")
    nested = [
        name for name, kind in zip(table.column_names, table.schema.types, strict=True) if pa.types.is_nested(kind)
    ]
    if nested:
        raise UnusableCohort(
            f"{source}: column {', '.join(nested)} holds lists or records; flatten it into plain columns"
        )
    return Table(source, table, np.arange(1, table.num_rows + 1), place="row")
