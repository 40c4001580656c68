"""Table 1: who they are, by outcome. Means, medians, counts, tests and standardised differences."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, f_oneway, linregress

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.errors import NoFit


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variable in everybody, in those with the event and in those without."""

    name: str
    label: str
    unit: str
    kind: str
    "number, yes-no or category"
    total: dict[str, object]
    event: dict[str, object]
    no_event: dict[str, object]
    p: float | None
    test: str
    smd: float | None
    "standardised mean difference (with minus without); for categories the Mahalanobis distance of proportions"
    missing: int

    def as_dict(self) -> dict[str, object]:
        """Keys of report.json."""
        keys = ("label", "unit", "kind", "total", "event", "no_event", "p", "test", "smd", "missing")
        return {key: getattr(self, key) for key in keys}


def _number_summary(x: Floats) -> dict[str, object]:
    if len(x) == 0:
        return {"n": 0}
    q1, median, q3 = np.quantile(x, [0.25, 0.5, 0.75])
    sd = float(x.std(ddof=1)) if len(x) > 1 else None
    return {
        "n": len(x),
        "mean": float(x.mean()),
        "sd": sd,
        "median": float(median),
        "q1": float(q1),
        "q3": float(q3),
        "minimum": float(x.min()),
        "maximum": float(x.max()),
    }


def compare_number(name: str, label: str, unit: str, x: Floats, event: Bools) -> Comparison:
    """Mean, SD, median and quartiles; one-way ANOVA as in the paper. x (n,) may hold NaN."""
    known = ~np.isnan(x)
    a, b = x[known & event], x[known & ~event]
    p = smd = None
    if len(a) > 1 and len(b) > 1 and (a.var() > 0 or b.var() > 0):
        p = float(f_oneway(a, b).pvalue)
        smd = float((a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    return Comparison(
        name,
        label,
        unit,
        "number",
        _number_summary(x[known]),
        _number_summary(a),
        _number_summary(b),
        p,
        "one-way ANOVA",
        smd,
        int((~known).sum()),
    )


def compare_categories(
    name: str, label: str, values: list[str | None], event: Bools, order: tuple[str, ...] = ()
) -> Comparison:
    """Counts and percentages; Pearson's chi-square without correction, as SPSS prints it first."""
    present = sorted({value for value in values if value is not None})
    levels = [*(level for level in order if level in present), *(level for level in present if level not in order)]
    text = np.array([value or "" for value in values])
    table = np.array([[int(((text == level) & rows).sum()) for rows in (event, ~event)] for level in levels])
    p = smd = None
    if len(levels) > 1 and (table.sum(axis=0) > 0).all():
        p = float(chi2_contingency(table, correction=False).pvalue)
        smd = _distance(table[1:, 0] / table[:, 0].sum(), table[1:, 1] / table[:, 1].sum())

    def summary(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> dict[str, object]:
        n = int(counts.sum())
        return {
            "n": n,
            "counts": {level: int(count) for level, count in zip(levels, counts, strict=True)},
            "percent": {
                level: 100 * int(count) / n if n else None for level, count in zip(levels, counts, strict=True)
            },
        }

    empty = np.zeros((0, 2), dtype=np.int64)
    table = table.astype(np.int64) if levels else empty
    return Comparison(
        name,
        label,
        "",
        "category",
        summary(table.sum(axis=1)),
        summary(table[:, 0]),
        summary(table[:, 1]),
        p,
        "chi-square",
        smd,
        sum(value is None for value in values),
    )


def _distance(p: Floats, q: Floats) -> float | None:
    """Standardised difference of two sets of proportions (Yang and Dalton 2012), all but the first category."""
    S = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    d = p - q
    if len(d) == 1:
        return float(d[0] / np.sqrt(S[0, 0])) if S[0, 0] > 0 else None
    return float(np.sqrt(max(0.0, float(d @ np.linalg.pinv(S) @ d))))


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r with Fisher's interval, and the regression line y = intercept + slope x."""

    n: int
    r: float
    p: float
    lower: float
    upper: float
    slope: float
    intercept: float

    def as_dict(self) -> dict[str, float | int]:
        """Keys of report.json."""
        return {key: getattr(self, key) for key in ("r", "p", "lower", "upper", "slope", "intercept", "n")}


def correlate(x: Floats, y: Floats) -> Correlation:
    """Correlation of two columns (n,), rows with NaN left out."""
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < 4 or x.var() == 0 or y.var() == 0:
        raise NoFit("a correlation needs at least four rows and two columns that vary")
    line = linregress(x, y)
    r = float(line.rvalue)
    centre, wide = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15)), 1.959963984540054 / np.sqrt(len(x) - 3)
    return Correlation(
        len(x),
        r,
        float(line.pvalue),
        float(np.tanh(centre - wide)),
        float(np.tanh(centre + wide)),
        float(line.slope),
        float(line.intercept),
    )
