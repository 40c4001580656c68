"""R's answers, read from tests/golden/reference_r, and small made-up cohorts."""

import csv
from collections.abc import Callable
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


@pytest.fixture
def visits() -> Callable[..., bytes]:
    """A CSV of made-up women whose event is known at a visit after five years only."""

    def make(n: int = 300, seed: int = 3) -> bytes:
        rng = np.random.default_rng(seed)
        vbq, t = rng.multivariate_normal([4.26, -2.48], [[0.53, -0.46], [-0.46, 2.56]], n).T
        follow_up = 5 + rng.gamma(0.9, 1.6, n)
        rate = 0.07 * np.exp(0.73 * (vbq - 4.26) - 0.51 * (t + 2.48))
        event = rng.exponential(1 / rate) < follow_up
        age = rng.normal(67, 9, n)
        rows = zip(age, vbq, t, event.astype(int), follow_up, strict=True)
        lines = [f"P{i},{a:.0f},{v:.2f},{s:.1f},{e},{f:.2f}" for i, (a, v, s, e, f) in enumerate(rows)]
        return "\n".join(["id,age,vbq,t_score,event,follow_up", *lines]).encode()

    return make
