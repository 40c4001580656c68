"""Has what goes in, or what comes out, changed? Population stability index, missingness, groups of scanners.

PSI = sum (p - q) log(p / q) over bins with shares p now and q then (Siddiqi 2006); below 0.1 is read as stable, above
0.25 as another population. Under no change it is about (bins - 1)(1/n + 1/m), so small samples alone give large ones:
`expected` says how much.
"""

import bisect
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from schemas.model import ModelArtefact

BINS = 10
HALF = 0.5
"""Added to every bin, so that an empty one gives a large number and not an infinite one."""


class Reference(NamedTuple):
    """A distribution to compare with: inner edges of the bins, the share in each, of how many, and whence."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    n: int | None
    source: str


class Shift(NamedTuple):
    """A population stability index; `expected` is its mean if nothing had changed."""

    psi: float
    expected: float
    n: int
    source: str


def reference_of(values: Sequence[float], source: str) -> Reference | None:
    """Deciles of `values`; None where they take too few different values."""
    ordered = sorted(values)
    edges = sorted({ordered[len(ordered) * k // BINS] for k in range(1, BINS)}) if ordered else []
    if len(ordered) < 2 * BINS or ordered[0] == ordered[-1]:
        return None
    return Reference(tuple(edges), tuple(_shares(values, edges)), len(ordered), source)


def training_reference(model: ModelArtefact, name: str) -> Reference | None:
    """How the input `name` (or `risk`) lay in the training data, as far as the model's file says."""
    edges, shares = (model.validation.get(f"reference.{name}.{part}") for part in ("edges", "shares"))
    if isinstance(edges, list) and isinstance(shares, list) and len(shares) == len(edges) + 1:
        return Reference(tuple(edges), tuple(shares), model.training.n, "training data")
    covariate = next((row for row in model.covariates if row.name == name), None)
    if model.kind != "published" or covariate is None or covariate.training is None or covariate.kind == "binary":
        return None
    sd = (covariate.training.high - covariate.training.low) / 4  # the file gives mean +- 2 SD (vbq/risk/published.py)
    normal = NormalDist(covariate.centre, sd)
    cuts = tuple(normal.inv_cdf(k / BINS) for k in range(1, BINS))
    return Reference(cuts, (1 / BINS,) * BINS, model.training.n, "normal with the published mean and SD")


def shift(values: Sequence[float], reference: Reference) -> Shift | None:
    """How far `values` lie from the reference; None without values."""
    if not values:
        return None
    n, bins = len(values), len(reference.shares)
    now = [(share * n + HALF) / (n + HALF * bins) for share in _shares(values, reference.edges)]
    m = reference.n or 10**9
    then = [(share * m + HALF) / (m + HALF * bins) for share in reference.shares]
    psi = math.fsum((p - q) * math.log(p / q) for p, q in zip(now, then, strict=True))
    return Shift(psi, (bins - 1) * (1 / n + 1 / m), n, reference.source)


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_right(edges, value)] += 1
    return [count / len(values) for count in counts]


class Group(NamedTuple):
    """VBQ of one scanner or field strength; `difference_sd`: its mean minus that of all others, in their SD."""

    name: str
    n: int
    mean: float
    sd: float | None
    difference_sd: float | None


def groups(rows: Sequence[tuple[str, float]]) -> list[Group]:
    """(group, value) pairs by group, the largest first."""
    found = []
    for name in sorted({name for name, _ in rows}):
        mine = [value for group, value in rows if group == name]
        others = [value for group, value in rows if group != name]
        mean, sd = _moments(mine)
        rest, spread = _moments(others) if others else (0.0, None)
        gap = (mean - rest) / spread if spread else None
        found.append(Group(name, len(mine), mean, sd, gap))
    return sorted(found, key=lambda group: -group.n)


def _moments(values: Sequence[float]) -> tuple[float, float | None]:
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
