"""Rows of a long run in a CSV file: each is written at once, and a stopped run goes on with those of the same make."""

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vbq.imaging.network import WEIGHTS
from vbq.imaging.unaided import ALGORITHM

Row = dict[str, Any]
MADE_BY = "made_by"


def made_by() -> str:
    """What measures at present: the algorithm's version and the weights. Rows of another make are not mixed in."""
    return f"{ALGORITHM} {hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:8]}"


def read_rows(path: Path, make: str) -> list[Row]:
    """The rows of earlier runs of the same make; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get(MADE_BY) == make]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """The whole file anew; without rows there is no file."""
    kept = list(rows)
    if not kept:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    partial.replace(path)


def add_row(path: Path, row: Row) -> None:
    """One row more, on disk when this returns to its caller; numbers with five digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
        if not begun:
            writer.writeheader()
        writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
