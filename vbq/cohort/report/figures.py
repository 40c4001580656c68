"""The report's figures: what is drawn from which numbers."""

import numpy as np

from vbq.cohort.arrays import Ints
from vbq.cohort.report.analysis import Analysis
from vbq.cohort.report.flow_chart import flow_chart
from vbq.cohort.report.svg import COLOURS, Figure

ROC_TITLES = {
    "vbq_osteoporosis": "VBQ for osteoporosis",
    "vbq_prior_vf": "VBQ for prior fracture",
    "t_prior_vf": "T-score for prior fracture",
}
SPINE = (*(f"T{k}" for k in range(1, 13)), *(f"L{k}" for k in range(1, 6)), "S1")


MOST_DOTS, MOST_STEPS = 3_000, 800
"""A page stays light whatever the cohort's size."""


def thinned(n: int, most: int) -> Ints:
    """At most `most` places out of n, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def figures_of(a: Analysis) -> list[str]:
    """SVG elements in the paper's order: flow, scatter, ROC, survival, levels."""
    drawn = [flow_chart(a.flow, a.built)]
    if a.correlation is not None:
        drawn.append(scatter(a))
    if a.roc:
        drawn.append(roc_plot(a))
    titles = list(dict.fromkeys(title for title, _, _ in a.curves))
    drawn += [survival_plot(a, title) for title in titles]
    if a.levels:
        drawn.append(level_bars(a.levels))
    return drawn


def scatter(a: Analysis) -> str:
    """VBQ against T-score with the line of best fit."""
    assert a.correlation is not None
    t, vbq = a.cohort.numbers("t_score"), a.cohort.numbers("vbq")
    both = ~(np.isnan(t) | np.isnan(vbq))
    shown = thinned(int(both.sum()), MOST_DOTS)
    points = list(zip(t[both][shown].tolist(), vbq[both][shown].tolist(), strict=True))
    x = float(np.floor(t[both].min())), float(np.ceil(t[both].max()))
    y = float(np.floor(vbq[both].min())), float(np.ceil(vbq[both].max()))
    c = a.correlation
    title = f"VBQ and T-score: r = {c.r:.2f}, {p_text(c.p)}"
    figure = Figure(title, "DXA T-score, lumbar spine", "VBQ score", x, y).dots(points)
    return figure.line([(at, c.intercept + c.slope * at) for at in x], COLOURS[1]).render()


def p_text(p: float) -> str:
    """'p = 0.012' or 'p < 0.001'."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def roc_plot(a: Analysis) -> str:
    """All ROC curves in one frame."""
    figure = Figure("ROC curves", "1 - specificity", "Sensitivity", (0, 1), (0, 1))
    figure.line([(0, 0), (1, 1)], "#999", dashed=True)
    for colour, (name, curve) in zip(COLOURS, a.roc.items(), strict=False):
        keep = thinned(len(curve.true_positive_rate), MOST_STEPS)
        x, y = curve.false_positive_rate[keep].tolist(), curve.true_positive_rate[keep].tolist()
        points = list(zip(x, y, strict=True))
        figure.line(points, colour, name=f"{ROC_TITLES[name]}, AUC {curve.area.auc:.2f}")
        figure.dots([(1 - curve.specificity, curve.sensitivity)], colour)
    return figure.render("lower right")


def survival_plot(a: Analysis, title: str) -> str:
    """Kaplan-Meier curves of one split, with bands."""
    rows = [(group, curve) for what, group, curve in a.curves if what == title]
    longest = max(float(curve.time[-1]) for _, curve in rows)
    p = f", log-rank {p_text(a.log_rank[title][1])}" if title in a.log_rank else ""
    unit = "Years to the final visit" if a.visits.recognised else "Years"
    figure = Figure(
        f"Free of fracture by {title}{p}" if p else "Free of fracture", unit, "Share free of it", (0, longest), (0, 1)
    )
    for colour, (group, curve) in zip(COLOURS, rows, strict=False):
        keep = thinned(len(curve.time), MOST_STEPS)
        times = [0.0, *curve.time[keep].tolist()]
        if len(rows) == 1:
            low, high = ([1.0, *v[keep].tolist()] for v in (curve.lower, curve.upper))
            figure.band(list(zip(times, low, strict=True)), list(zip(times, high, strict=True)), colour)
        points = list(zip(times, [1.0, *curve.survival[keep].tolist()], strict=True))
        figure.steps(points, colour, name="" if len(rows) == 1 else group)
    return figure.render("lower left")


def level_bars(levels: dict[str, int]) -> str:
    """Incident fractures by vertebral level, from top to bottom."""
    names = [*(level for level in SPINE if level in levels), *sorted(set(levels) - set(SPINE))]
    heights = [levels[name] for name in names]
    top = float(max(heights))
    figure = Figure("Incident fractures by level", "Level", "Fractures", (-0.6, len(names) - 0.4), (0, top), names)
    return figure.bars(heights).render()
