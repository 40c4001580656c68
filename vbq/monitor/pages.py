"""Pages that stand alone: monitoring, and a shadow model beside the active one. Figures are inline SVG."""

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from vbq.cohort.report.svg import COLOURS, Figure

MOST_NAMES = 5
"""Months that are named along an axis."""


def monitoring_page(document: Mapping[str, Any], made: str) -> str:
    """The page of vbq.monitor.watch's document."""
    figures = [figure for figure in (_months(document, "vbq"), _months(document, "risk"), _fifths(document)) if figure]
    return _render("monitor.html", d=document, made=made, figures=figures)


def shadow_page(document: Mapping[str, Any], pairs: Sequence[tuple[float, float]], made: str) -> str:
    """The page of vbq.monitor.comparison's document; `pairs`: (active, shadow) risks."""
    figures = []
    if pairs:
        title = "Risk under both models"
        plot = Figure(title, "active model, %", "shadow model, %", (0.0, 100.0), (0.0, 100.0))
        plot.line([(0.0, 0.0), (100.0, 100.0)], COLOURS[4], dashed=True, name="the same risk")
        plot.dots([(100 * x, 100 * y) for x, y in pairs], name="one assessment")
        figures.append(plot.render("lower right"))
    return _render("shadow.html", d=document, made=made, figures=figures)


def _months(document: Mapping[str, Any], name: str) -> str | None:
    rows = [(float(place), row[name]) for place, row in enumerate(document["months"]) if row[name] is not None]
    if len(rows) < 2:
        return None
    percent = 100.0 if name == "risk" else 1.0
    rows = [(place, percent * value) for place, value in rows]
    values = [value for _, value in rows]
    low, high = min(values), max(values)
    room = (high - low) * 0.2 or 0.1 * percent
    title, label = {"vbq": ("Mean VBQ", "mean VBQ"), "risk": ("Mean risk", "mean risk, %")}[name]
    months = [row["month"] for row in document["months"]]
    every = -(-len(months) // MOST_NAMES)
    shown = [month if place % every == 0 else "" for place, month in enumerate(months)]
    span = (0.0, float(len(months) - 1))
    plot = Figure(f"{title} by month of the images", "month", label, span, (low - room, high + room), shown)
    return plot.line(rows).dots(rows).render()


def _fifths(document: Mapping[str, Any]) -> str | None:
    if not document["calibration"]:
        return None
    points = [(row["predicted"], row["observed"]) for row in document["calibration"]["fifths"]]
    top = max(0.1, *(max(point) for point in points)) * 1.1
    title, labels = "Calibration, in fifths of risk", ("predicted risk, %", "had the event, %")
    points, top = [(100 * x, 100 * y) for x, y in points], 100 * top
    plot = Figure(title, *labels, (0.0, top), (0.0, top))
    plot.line([(0.0, 0.0), (top, top)], COLOURS[4], dashed=True, name="as it should be")
    return plot.line(points).dots(points, name="seen here").render("lower right")


def _render(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "number": _number, "count": _count, "of": _of}
    environment.filters["signed"] = lambda value: "too few" if value is None else f"{value:+.2f}"
    environment.filters["points"] = lambda value: f"{100 * value:+.1f}"
    folder = importlib.resources.files("vbq.monitor")
    frame = folder.joinpath("frame.html").read_text(encoding="utf-8")
    body = folder.joinpath(template).read_text(encoding="utf-8")
    environment.loader = jinja2.DictLoader({"frame.html": frame, "page": body})
    return environment.get_template("page").render(**values)


def _share(value: float | None, without: str = "not known") -> str:
    return without if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 2, without: str = "not known") -> str:
    return without if value is None else f"{value:.{digits}f}"


def _of(value: float | None, name: str) -> str:
    """A mean or median: risks in percent."""
    return _share(value, "none") if name == "risk" else _number(value, without="none")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
