"""Made-up cohorts that are hard for a Cox engine: ties, rare levels, large effects, few people, odd scales."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Cohort:
    """X (n, p), time (n,), event (n,) of 0/1."""

    name: str
    X: np.ndarray
    time: np.ndarray
    event: np.ndarray
    names: list[str]

    def write(self, folder: Path) -> None:
        """CSV with every digit: time, event, then the covariates."""
        with (folder / f"{self.name}.csv").open("w") as file:
            file.write(",".join(["time", "event", *self.names]) + "\n")
            for t, e, row in zip(self.time, self.event, self.X, strict=True):
                file.write(",".join([repr(float(t)), str(int(e)), *(repr(float(v)) for v in row)]) + "\n")


class Maker:
    """Draws of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, n: int, p: int) -> np.ndarray:
        return self.rng.normal(size=(n, p))

    def cohort(self, name: str, X: np.ndarray, b: list[float] | np.ndarray, censoring: float = 1.0) -> Cohort:
        """Exponential times with hazard exp(X b), exponential censoring with that mean; 0: none."""
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        T = self.rng.exponential(1.0, len(X)) * np.exp(-np.clip(Z @ np.asarray(b, dtype=float), -50, 50))
        C = self.rng.exponential(censoring, len(X)) if censoring else np.full(len(X), np.inf)
        event = T <= C
        event[:3] |= len(X) < 30  # a handful of people must hold some events
        return Cohort(name, X, np.minimum(T, C), event, [f"x{j + 1}" for j in range(X.shape[1])])


def cohorts(seed: int) -> Iterator[Cohort]:
    """All of them."""
    make = Maker(seed)
    yield from _ties(make)
    yield from _shapes(make)
    yield from _scales(make)


def _timed(cohort: Cohort, time: np.ndarray) -> Cohort:
    return Cohort(cohort.name, cohort.X, time, cohort.event, cohort.names)


def _ties(make: Maker) -> Iterator[Cohort]:
    for steps in (2, 5, 20):
        one = make.cohort(f"ties-{steps}", make.normal(300, 3), [0.5, -0.3, 0.0])
        yield _timed(one, np.ceil(one.time * steps) / steps)
    one = make.cohort("ties-five-times", make.normal(500, 4), [0.5, -0.3, 0.0, 1.0])
    yield _timed(one, np.searchsorted(np.quantile(one.time, [0.2, 0.4, 0.6, 0.8]), one.time) + 1.0)
    one = make.cohort("ties-large", make.normal(5000, 5), make.rng.normal(size=5) * 0.4)
    yield _timed(one, np.ceil(one.time * 50))
    one = make.cohort("ties-by-rounding", make.normal(300, 2), [0.5, 0.3])
    yield _timed(one, np.round(one.time, 1) + 0.1 + make.rng.choice([0, 1e-12, -1e-12], 300))
    one = make.cohort("zero-times", make.normal(250, 3), [0.5, 0.3, 0.0])
    yield _timed(one, np.where(np.arange(250) < 10, 0.0, one.time))


def _shapes(make: Maker) -> Iterator[Cohort]:
    level = make.rng.choice(6, size=400, p=[0.5, 0.3, 0.1, 0.06, 0.03, 0.01])
    X = np.column_stack([np.eye(6)[level][:, 1:], make.rng.normal(size=400)])
    yield make.cohort("rare-levels", X, [0.1, 0.2, -0.1, 0.2, 0.1, 0.3], 3.0)
    for size in (2, 4, 8):
        yield make.cohort(f"effect-{size}", make.normal(200, 2), [size, -size / 2])
    yield make.cohort("effect-15", make.normal(150, 1), [15.0])
    for n in (5, 8, 12, 20):
        p = 1 if n == 5 else 2
        yield make.cohort(f"people-{n}", make.normal(n, p), [0.5, -0.5][:p])
    yield make.cohort("all-events", make.normal(250, 3), [0.5, 0.3, 0.0], 0.0)
    yield make.cohort("few-events", make.normal(2000, 3), [0.5, 0.3, 0.0], 0.01)
    binary = (make.rng.random((300, 4)) < [0.5, 0.05, 0.04, 0.3]).astype(float)
    yield make.cohort("binary", binary, [0.3, 0.2, 0.1, 0.0])
    yield make.cohort("fifteen-covariates", make.normal(400, 15), make.rng.normal(size=15) * 0.3)
    yield make.cohort("too-many-covariates", make.normal(120, 25), make.rng.normal(size=25) * 0.2)


def _scales(make: Maker) -> Iterator[Cohort]:
    odd = make.normal(300, 4) * [1e-6, 1e6, 1, 1e-3] + [0, 1e6, 0, 5]
    yield make.cohort("scales-1e-6-to-1e6", odd, [0.5, 0.3, -0.4, 0.2])
    for shift in (1e4, 1e6):
        yield make.cohort(f"shifted-{shift:.0e}", make.normal(300, 2) + np.array([shift, 0]), [0.5, 0.3])
    yield make.cohort("lognormal", np.exp(2 * make.normal(300, 3)), [0.2, 0.1, 0.0])
    yield make.cohort("very-skewed", np.exp(4 * make.normal(300, 2)), [0.1, 0.1])
    for apart in (1e-2, 1e-3, 1e-4):
        X = make.normal(400, 3)
        X[:, 2] = X[:, 0] + X[:, 1] + apart * X[:, 2]
        yield make.cohort(f"collinear-but-for-{apart:.0e}", X, [0.5, -0.5, 0.0])
    for unit in (1e-6, 1e6):
        one = make.cohort(f"times-{unit:.0e}", make.normal(300, 2), [0.5, 0.3])
        yield _timed(one, one.time * unit)
