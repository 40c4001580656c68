"""The two endplates of a body as lines from corner to corner, each with its own slope.

A lumbar body is no rectangle: L5 is a wedge, often a rhombus, and its upper plate is turned otherwise than its axis.
What slips against a neighbour is the plate, so its corners are looked for along it, not along the body's axis.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]

RIM_MM = (0.5, 6.0)  # below the plate: where the body's width at that plate is looked at
TRIM = 8  # an eighth to either side is left out of the line: rounded corners, spurs
FEWEST = 6
OUTERMOST = (2.0, 98.0)  # percentiles of what lies in the rim


@dataclass(frozen=True)
class Endplate:
    """A straight line through an endplate, from its front to its back corner (y, x)."""

    front: Point
    back: Point

    @property
    def angle_rad(self) -> float:
        """Turns the direction to the back from +x towards +y."""
        return math.atan2(self.back[0] - self.front[0], self.back[1] - self.front[1])

    def in_view(self, centre: Point, angle_rad: float) -> "Endplate":
        """The plate in the view, where it is given in a body's own frame (down, back)."""
        return Endplate(in_view(centre, angle_rad, *self.front), in_view(centre, angle_rad, *self.back))


def in_view(centre: Point, angle_rad: float, down_mm: float, back_mm: float) -> Point:
    """The point (y, x) that far below and behind `centre` in a frame turned by `angle_rad`."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return centre[0] + back_mm * sin + down_mm * cos, centre[1] + back_mm * cos - down_mm * sin


def endplate(body: NDArray[np.bool_], end: int) -> Endplate | None:
    """The upper (`end` -1) or lower (+1) plate of a body seen in its own frame (down, back).

    `body` has 1 mm pixels, its middle the origin of the points returned (mm); None where no plate is seen.
    """
    middle = (np.array(body.shape) - 1) / 2
    columns = np.flatnonzero(body.sum(axis=0) > 0.5 * body.sum(axis=0).max())
    columns = columns[len(columns) // TRIM : len(columns) - len(columns) // TRIM]
    if len(columns) < FEWEST:
        return None
    inside = body[:, columns]
    edges = inside.shape[0] - 0.5 - inside[::-1].argmax(axis=0) if end > 0 else inside.argmax(axis=0) - 0.5
    slope, at = np.polyfit(columns - middle[1], edges - middle[0], 1)
    cos, sin = math.cos(math.atan(slope)), math.sin(math.atan(slope))
    rows, columns = np.nonzero(body)
    down, back = rows - middle[0], columns - middle[1]
    beneath = end * (at + slope * back - down) * cos
    rim = (beneath > RIM_MM[0]) & (beneath < RIM_MM[1])
    if rim.sum() < FEWEST:
        return None
    along = (back * cos + (down - at) * sin)[rim]
    front, last = np.percentile(along, OUTERMOST)
    return Endplate((at + front * sin, front * cos), (at + last * sin, last * cos))
