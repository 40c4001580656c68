"""Synthetic cohorts whose analysis gives the published tables. The women in them do not exist.

137 women: drawn by outcome group to the printed moments, then annealed by swaps inside a group. Any other number: those
137 resampled within their group and smoothed so that means and covariances stay (Silverman and Young 1987).
"""

from dataclasses import dataclass

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.data.standard import DXA_ORDER
from vbq.cohort.errors import NoFit
from vbq.simulate.cohort_draw import draw_groups
from vbq.simulate.cohort_targets import EVENTS, MARGINALS, SHORTEST_FOLLOW_UP, TARGETS, N

COLUMNS = (
    "id",
    "age",
    "weight",
    "calcium",
    "phosphorus",
    "uric_acid",
    "crcl",
    "alp",
    "glucose",
    "vbq",
    "t_score",
    "history_vf",
    "event",
    "follow_up",
    "dxa_category",
)
STEPS = 100_000
SMOOTHING = 0.25
"""Share of the spread within a group that a resampled woman is moved by."""
FEWEST = 10
DECIMALS = {m.name: m.decimals for m in MARGINALS} | {"t_score": 1, "history_vf": 0, "event": 0, "follow_up": 2}


@dataclass(frozen=True)
class SyntheticCohort:
    """Columns (n,) in the order of the file."""

    columns: dict[str, Floats]
    loss: float
    figures: dict[str, float]
    "what the analysis of the 137 gives, by the names of the targets"

    @property
    def n(self) -> int:
        return len(self.columns["event"])

    def csv(self) -> bytes:
        """The file, header first."""
        import pyarrow as pa
        import pyarrow.csv as pacsv

        porous = classes_of(self.columns["t_score"], self.columns["history_vf"])
        width = max(3, len(str(self.n)))
        arrays = {
            "id": [f"SYN{i:0{width}d}" for i in range(1, self.n + 1)],
            **{name: _cells(self.columns[name], DECIMALS[name]) for name in COLUMNS[1:-1]},
            "dxa_category": np.array(DXA_ORDER)[porous],
        }
        sink = pa.BufferOutputStream()
        options = pacsv.WriteOptions(quoting_style="none")
        pacsv.write_csv(pa.table({name: arrays[name] for name in COLUMNS}), sink, options)
        content: bytes = sink.getvalue().to_pybytes().replace(b'"', b"", len(COLUMNS) * 2)
        return content


def _cells(values: Floats, decimals: int) -> "np.ndarray[tuple[int], np.dtype[np.float64 | np.int64]]":
    return np.round(values, decimals) if decimals else np.round(values).astype(np.int64)


def classes_of(t_score: Floats, history: Floats) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Index into DXA_ORDER by the WHO rule."""
    porous = (t_score <= -2.5) | ((t_score < -1.0) & (history == 1))
    return np.where(porous, 2, np.where(t_score < -1.0, 1, 0)).astype(np.int64)


def published_cohort(seed: int, steps: int = STEPS) -> SyntheticCohort:
    """137 women, 54 with the event. The first call compiles for some seconds."""
    from vbq.simulate import cohort_annealing as annealing

    rng = np.random.default_rng(seed)
    drawn = draw_groups(rng)
    D = np.column_stack([drawn[name] for name in annealing.COLUMNS])
    target = np.array([t.value for t in TARGETS])
    tolerance = np.array([t.tolerance for t in TARGETS])
    best, loss, found = annealing.anneal(D, EVENTS, rng.random((steps, 5)), target, tolerance)
    columns = drawn | {name: best[:, j].copy() for j, name in enumerate(annealing.COLUMNS)}
    figures = {t.name: float(value) for t, value in zip(TARGETS, found, strict=True)}
    shuffled = rng.permutation(N)
    return SyntheticCohort({name: values[shuffled] for name, values in columns.items()}, float(loss), figures)


def simulate_cohort(n: int, seed: int, steps: int = STEPS) -> SyntheticCohort:
    """A cohort of n women, the same for the same n and seed. Raises NoFit below FEWEST."""
    if n < FEWEST:
        raise NoFit(f"a cohort of {n} cannot be analysed; ask for {FEWEST} or more")
    base = published_cohort(seed, steps)
    return base if n == N else resampled(base, n, np.random.default_rng([seed, n]))


def resampled(base: SyntheticCohort, n: int, rng: np.random.Generator) -> SyntheticCohort:
    """N women like those of `base`, with its share of events."""
    names = [*(m.name for m in MARGINALS), "t_score", "follow_up"]
    n_events = round(n * EVENTS / N)
    parts: dict[str, list[Floats]] = {name: [] for name in base.columns}
    for event, size in ((1.0, n_events), (0.0, n - n_events)):
        rows = np.flatnonzero(base.columns["event"] == event)
        X = np.column_stack([base.columns[name][rows] for name in names])
        drawn = rng.integers(0, len(rows), size)
        noise = rng.standard_normal((size, len(names))) @ np.linalg.cholesky(np.cov(X.T)).T
        mean = X.mean(axis=0)
        Y = mean + (X[drawn] - mean + SMOOTHING * noise) / np.sqrt(1 + SMOOTHING**2)
        for j, name in enumerate(names):
            parts[name].append(Y[:, j])
        parts["history_vf"].append(base.columns["history_vf"][rows][drawn])
        parts["event"].append(np.full(size, event))
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    for m in MARGINALS:
        columns[m.name] = np.clip(columns[m.name], m.low, m.high)
    columns["follow_up"] = np.maximum(columns["follow_up"], SHORTEST_FOLLOW_UP)
    columns["t_score"] = np.clip(columns["t_score"], -8.0, 6.0)
    columns = {name: np.round(values, DECIMALS[name]) for name, values in columns.items()}
    shuffled = rng.permutation(n)
    return SyntheticCohort({name: values[shuffled] for name, values in columns.items()}, base.loss, base.figures)
