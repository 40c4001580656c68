"""R's answers, read from tests/golden/reference_r, and small made-up cohorts."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from vbq.cohort.arrays import Floats

FOLDER = Path(__file__).parents[2] / "golden" / "reference_r"
DATASETS = ("gbsg", "lung", "pbc", "rossi")


@dataclass(frozen=True)
class Dataset:
    names: list[str]
    X: Floats
    time: Floats
    event: Floats


class Reference:
    """The public datasets and what R says of them."""

    datasets = DATASETS

    def table(self, name: str, *, labels: int = 0) -> Floats:
        """Numbers of a CSV file below its header, leaving out the first `labels` columns."""
        with (FOLDER / name).open(newline="") as stream:
            _, *rows = csv.reader(stream)
        return np.array([[float(cell) for cell in row[labels:]] for row in rows])

    def dataset(self, name: str) -> Dataset:
        with (FOLDER / f"{name}.csv").open(newline="") as stream:
            header = next(csv.reader(stream))
        rows = self.table(f"{name}.csv")
        return Dataset(header[2:], rows[:, 2:], rows[:, 0], rows[:, 1])

    def concordance(self, name: str) -> float:
        return float((FOLDER / f"{name}_efron_C.txt").read_text())


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250101)
