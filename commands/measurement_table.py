"""A table of many measurements: a journal that survives a stop, and the parquet file made of it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import NotAcceptable
from schemas.measurement import CSF_LEVELS, Level, Measurement

LEVELS: tuple[Level, ...] = ("T12", "L1", "L2", "L3", "L4", "L5")

Row = dict[str, Any]


def folder_name(folder: Path) -> str:
    """The folder's name as text; bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(folder.name).decode("utf-8", "backslashreplace")


def row_of(folder: str, result: Measurement, seconds: float) -> Row:
    """One study as a flat row; absent values are None."""
    low, high = result.interval or (None, None)
    least, greatest = result.slice_range or (None, None)
    known = result.acquisition
    row: Row = {
        "folder": folder,
        "status": result.status,
        "vbq": result.vbq,
        "vbq_low": low,
        "vbq_high": high,
        "slice_range_low": least,
        "slice_range_high": greatest,
        "vbq_median": result.variants.get("median"),
        "reasons": [reason.code for reason in result.reasons],
        "reason_texts": [reason.text for reason in result.reasons],
        "flags": [flag.code for flag in result.flags],
        "algorithm": result.algorithm,
        "study_uid": result.study_uid,
        "series_uid": result.series_uid,
        "sop_instance_uid": result.slice.sop_instance_uid if result.slice else None,
        "slice_index": result.slice.index if result.slice else None,
        "numbering_confidence": result.numbering.confidence if result.numbering else None,
        "study_date": known.study_date,
        "field_strength_t": known.field_strength_t,
        "repetition_time_ms": known.repetition_time_ms,
        "echo_time_ms": known.echo_time_ms,
        "manufacturer": known.manufacturer,
        "seconds": round(seconds, 3),
    }
    for level in LEVELS:
        region, shape = result.levels.get(level), result.shapes.get(level)
        row[f"{level}_mean"] = region.mean if region else None
        row[f"{level}_sd"] = region.sd if region else None
        row[f"{level}_used"] = region.used if region else None
        row[f"{level}_height_loss"] = shape.loss if shape else None
        row[f"{level}_suspected_genant"] = shape.suspected_genant_grade if shape else None
    for level in CSF_LEVELS:
        fluid = result.csf.get(level)
        row[f"csf_{level}_mean"] = fluid.mean if fluid else None
        row[f"csf_{level}_sd"] = fluid.sd if fluid else None
    return row


class Journal:
    """Rows one by one in a file beside the table, so that a stopped run can go on. One writer."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + ".journal.jsonl")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the table for this run. Raises NotAcceptable where another run has it; a killed run holds nothing."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            opened = lock.open("w")
        except OSError as error:
            text = f"no table can be written there ({error.strerror}); check the folder of --out"
            raise NotAcceptable(text, code="out-unwritable") from error
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_ino != lock.stat().st_ino:
                    raise OSError("a run that just ended took the file away, and another made it anew")
            except OSError as error:
                text = "another run is writing this table; wait for it, or name another --out"
                raise NotAcceptable(text, code="batch-running") from error
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Append a row and flush it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> Iterator[Row]:
        """Every whole row; a last line that a stop cut off is passed over (its study is measured again)."""
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue

    def mend(self) -> None:
        """End a line that a stop cut off, so that the next row begins a line of its own."""
        if self.path.is_file() and not self.path.read_bytes().endswith(b"\n"):
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n")


def write_table(rows: list[Row], table: Path) -> None:
    """Write rows as parquet, whole or not at all. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"reasons": pa.list_(pa.string()), "reason_texts": pa.list_(pa.string()), "flags": pa.list_(pa.string())}
    texts = (
        "folder",
        "status",
        "algorithm",
        "study_uid",
        "series_uid",
        "sop_instance_uid",
        "study_date",
        "manufacturer",
    )
    wholes = ("slice_index",)

    def kind(name: str) -> Any:
        if name in kinds:
            return kinds[name]
        if name in texts:
            return pa.string()
        if name in wholes or name.endswith("_suspected_genant"):
            return pa.int64()
        return pa.bool_() if name.endswith("_used") else pa.float64()

    columns: list[str] = list(dict.fromkeys(name for row in rows for name in row))
    schema = pa.schema([(name, kind(name)) for name in columns])
    partial = table.with_name(table.name + ".part")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial)
    partial.replace(table)
