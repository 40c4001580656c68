"""What the model page draws: hazard ratios, risk curves, examples. Numbers in, coordinates out."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.errors import ModelRefused
from schemas.model import Covariate, ModelArtefact
from vbq.risk.score import Prediction, Stated, predict

Z95 = 1.959963984540054
TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
STEPS = 60


class Ratio(NamedTuple):
    """A covariate as a hazard ratio per unit."""

    name: str
    label: str
    unit: str
    ratio: float
    interval: tuple[float, float] | None
    coefficient: float
    standard_error: float | None
    centre: float
    training: Any
    physiological: Any


class Frame(NamedTuple):
    """Where a plot lies in its picture, in SVG units."""

    width: int = 820
    height: int = 340
    left: int = 56
    right: int = 660
    top: int = 14
    bottom: int = 290


def ratios(model: ModelArtefact) -> list[Ratio]:
    """One row per covariate; the standard error is the model's own or the root of its variance."""
    rows = []
    for number, covariate in enumerate(model.covariates):
        variance = model.covariance[number][number]
        error = covariate.standard_error if covariate.standard_error is not None else math.sqrt(max(variance, 0.0))
        wide = Z95 * error
        rows.append(
            Ratio(
                covariate.name,
                covariate.label,
                covariate.unit,
                math.exp(covariate.coefficient),
                (math.exp(covariate.coefficient - wide), math.exp(covariate.coefficient + wide)) if error else None,
                covariate.coefficient,
                error,
                covariate.centre,
                covariate.training,
                covariate.physiological,
            )
        )
    return rows


def forest(rows: Sequence[Ratio]) -> dict[str, Any]:
    """Positions of the hazard ratios and their intervals."""
    left, right = 250.0, 800.0
    ends = [1.0, *(row.ratio for row in rows), *(end for row in rows if row.interval for end in row.interval)]
    low = max((tick for tick in TICKS if tick <= min(ends)), default=min(ends))
    high = min((tick for tick in TICKS if tick >= max(ends)), default=max(ends))
    if low == high:
        low, high = low / 2, high * 2

    def x(value: float) -> float:
        share = math.log(value / low) / math.log(high / low)
        return round(left + share * (right - left), 1)

    return {
        "width": 820,
        "height": 44 + 34 * len(rows),
        "ticks": [{"value": tick, "x": x(tick)} for tick in TICKS if low <= tick <= high],
        "rows": [
            {
                "name": row.label,
                "y": 28 + 34 * number,
                "x": x(row.ratio),
                "low": x(row.interval[0]) if row.interval else None,
                "high": x(row.interval[1]) if row.interval else None,
            }
            for number, row in enumerate(rows)
        ],
    }


def curves(model: ModelArtefact) -> dict[str, Any] | None:
    """Risk along the first continuous covariate, for up to three values of the second; None where nothing is served."""
    axis = next((row for row in model.covariates if row.kind == "continuous"), None)
    if axis is None or not model.servable:
        return None
    span = axis.training or axis.physiological
    grid = [span.low + (span.high - span.low) * step / STEPS for step in range(STEPS + 1)]
    try:
        lines = [
            (label, [at(model, {**fixed, axis.name: value}) for value in grid])
            for label, fixed in lines_of(model, axis)
        ]
    except ModelRefused:
        return None
    frame, top = Frame(), ceiling(max(row.risk for _, points in lines for row in points))

    def x(value: float) -> float:
        return round(frame.left + (value - span.low) / (span.high - span.low) * (frame.right - frame.left), 1)

    def y(risk: float) -> float:
        return round(frame.bottom - risk / top * (frame.bottom - frame.top), 1)

    middle = lines[len(lines) // 2][1]
    upper = [f"{x(value)},{y(min(row.upper, top))}" for value, row in zip(grid, middle, strict=True)]
    lower = [f"{x(value)},{y(row.lower)}" for value, row in zip(grid, middle, strict=True)]
    return {
        **frame._asdict(),
        "band": " ".join(upper + lower[::-1]),
        "lines": [
            {
                "label": label,
                "points": " ".join(f"{x(value)},{y(row.risk)}" for value, row in zip(grid, points, strict=True)),
                "end": y(points[-1].risk),
            }
            for label, points in lines
        ],
        "x_label": axis.label,
        "x_ticks": [{"at": x(value), "text": signed(value)} for value in ticks(span.low, span.high)],
        "y_ticks": [{"at": y(top * part / 5), "text": f"{100 * top * part / 5:.0f} %"} for part in range(6)],
        "caption": "the band is the 95 % interval of the middle line; every other predictor is at its centre.",
    }


def lines_of(model: ModelArtefact, axis: Covariate) -> list[tuple[str, dict[str, float]]]:
    """(label, the other covariates' values) of each line: the second continuous covariate low, central and high."""
    centres = {row.name: row.centre for row in model.covariates if row.kind == "continuous"}
    fixed = {**centres, **{row.name: 0.0 for row in model.covariates if row.kind == "binary"}}
    second = next((row for row in model.covariates if row.kind == "continuous" and row is not axis), None)
    if second is None:
        return [("", fixed)]
    span = second.training or second.physiological
    centre = second.centre
    values = sorted({round((span.low + centre) / 2, 1), centre, round((span.high + centre) / 2, 1)})
    short = second.label.partition(",")[0]
    return [(f"{short} {signed(round(value, 2))}", {**fixed, second.name: value}) for value in values]


def signed(value: float) -> str:
    """A short number with a real minus sign."""
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def examples(model: ModelArtefact) -> dict[str, Any] | None:
    """Predictions at a few points of the training range, for models of up to three continuous covariates."""
    axes = [row for row in model.covariates if row.kind == "continuous"]
    if not 1 <= len(axes) <= 3 or len(axes) != len(model.covariates) or not model.servable:
        return None
    corners = itertools.product((0.25, 0.75), repeat=len(axes))
    points = [[low_to_high(row, share) for row, share in zip(axes, corner, strict=True)] for corner in corners]
    points.append([row.centre for row in axes])
    try:
        found = [(values, at(model, {row.name: v for row, v in zip(axes, values, strict=True)})) for values in points]
    except ModelRefused:
        return None
    return {
        "names": [row.label for row in axes],
        "rows": [
            {"values": values, "risk": row.risk, "lower": row.lower, "upper": row.upper}
            for values, row in sorted(found, key=lambda pair: pair[1].risk)
        ],
    }


def low_to_high(row: Covariate, share: float) -> float:
    """The value at `share` of the training range, from the end of low risk to the end of high risk."""
    span = row.training or row.physiological
    share = share if row.coefficient >= 0 else 1 - share
    return round(span.low + share * (span.high - span.low), 1)


def at(model: ModelArtefact, values: dict[str, float]) -> Prediction:
    """The prediction for `values`, stated in the model's own units. Raises ModelRefused."""
    units = {row.name: row.unit for row in model.covariates}
    return predict(model, {name: Stated(value, units[name]) for name, value in values.items()})


def ceiling(risk: float) -> float:
    """A round number above `risk` for the end of the axis."""
    return next((top for top in (0.05, 0.1, 0.25, 0.5, 0.75) if risk <= top), 1.0)


def ticks(low: float, high: float) -> list[float]:
    """Round values between `low` and `high`, about six of them."""
    raw = (high - low) / 6
    unit: float = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
