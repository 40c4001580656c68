"""Figures as SVG text: a frame with axes, and lines, steps, points, bars and bands drawn into it. No script."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10
from typing import Literal

WIDTH, HEIGHT = 460.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 28.0, 46.0
COLOURS = ("#1f4e79", "#b5482e", "#3b7d3a", "#7a5195", "#6b6b6b", "#c08a00")

Corner = Literal["upper right", "lower right", "lower left"]
Points = Sequence[tuple[float, float]]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between low and high."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / about
    power = 10.0 ** floor(log10(raw))
    step = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= raw * 0.999)
    first = int(-(-low // step))
    return [k * step for k in range(first, int(high / step + 1e-9) + 1)]


def opening(width: float, height: float, label: str) -> str:
    """The start tag."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11">'
    )


@dataclass
class Figure:
    """A plot of x in [x0, x1] and y in [y0, y1]."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_names: Sequence[str] = ()
    "labels of bars at 0, 1, 2, ... in place of ticks"
    parts: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)

    def px(self, value: float) -> float:
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0] or 1.0) * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0] or 1.0) * (HEIGHT - TOP - BOTTOM)

    def line(self, points: Points, colour: str = COLOURS[0], *, dashed: bool = False, name: str = "") -> "Figure":
        """Straight pieces through the points."""
        text = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
        if name:
            self.legend.append((name, colour))
        return self

    def steps(self, points: Points, colour: str, name: str = "") -> "Figure":
        """A right-continuous step function."""
        corners: list[tuple[float, float]] = []
        for x, y in points:
            if corners:
                corners.append((x, corners[-1][1]))
            corners.append((x, y))
        return self.line(corners, colour, name=name)

    def band(self, lower: Points, upper: Points, colour: str) -> "Figure":
        """The area between two lines."""
        text = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in [*lower, *reversed(list(upper))])
        self.parts.append(f'<polygon points="{text}" fill="{colour}" fill-opacity="0.14"/>')
        return self

    def dots(self, points: Points, colour: str = COLOURS[0], name: str = "") -> "Figure":
        """One circle a point."""
        self.parts += [
            f'<circle cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="3" fill="{colour}" fill-opacity="0.6"/>'
            for x, y in points
        ]
        if name:
            self.legend.append((name, colour))
        return self

    def bars(self, heights: Iterable[float], colour: str = COLOURS[0]) -> "Figure":
        """Bars at 0, 1, 2, ..."""
        for place, height in enumerate(heights):
            left, right, top = self.px(place - 0.35), self.px(place + 0.35), self.py(height)
            self.parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{self.py(self.y[0]) - top:.1f}" fill="{colour}"/>'
            )
        return self

    def render(self, legend: Corner = "upper right") -> str:
        """The SVG element, its legend in one corner."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        out = [
            opening(WIDTH, HEIGHT, self.title),
            f'<text x="{LEFT:g}" y="16" font-size="12" font-weight="bold">{escape(self.title)}</text>',
            f'<path d="M{LEFT:g} {TOP:g}V{bottom:g}H{right:g}" fill="none" stroke="#333"/>',
        ]
        for value in range(len(self.x_names)) if self.x_names else ticks(*self.x):
            at = self.px(value)
            word = escape(self.x_names[int(value)]) if self.x_names else f"{value:g}"
            out.append(f'<path d="M{at:.1f} {bottom:g}v4" stroke="#333"/>')
            out.append(f'<text x="{at:.1f}" y="{bottom + 16:g}" text-anchor="middle">{word}</text>')
        for value in ticks(*self.y):
            at = self.py(value)
            out.append(f'<path d="M{LEFT:g} {at:.1f}h-4" stroke="#333"/>')
            out.append(f'<text x="{LEFT - 7:g}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (TOP + bottom) / 2
        centre = (LEFT + right) / 2
        out.append(f'<text x="{centre:g}" y="{HEIGHT - 10:g}" text-anchor="middle">{escape(self.x_label)}</text>')
        out.append(
            f'<text x="14" y="{middle:g}" text-anchor="middle" transform="rotate(-90 14 {middle:g})">'
            f"{escape(self.y_label)}</text>"
        )
        out += self.parts
        left = LEFT + 10 if legend == "lower left" else right - 190
        top = TOP + 10 if legend == "upper right" else bottom - 10 - 15 * (len(self.legend) - 1)
        for row, (name, colour) in enumerate(self.legend):
            y = top + 15 * row
            out.append(f'<rect x="{left:g}" y="{y - 8:g}" width="12" height="4" fill="{colour}"/>')
            out.append(f'<text x="{left + 17:g}" y="{y:g}">{escape(name)}</text>')
        return "\n".join([*out, "</svg>"])
