"""Pedicle screws and rods on spin echo: the signal is gone around them and piles up where it went.

Titanium on T1 TSE; voids are wider than the screws, and their upper or lower rim is bright (the readout runs along the
spine). Painted as a factor on what lies beneath, so that painting stays linear in each tissue's signal.
"""

from collections.abc import Sequence

import numpy as np

from vbq.simulate.canvas import Canvas, coverage, ellipsoid
from vbq.simulate.plane import Image, Window
from vbq.simulate.spine import Spine, Vertebra

VOID_MM = 8.0  # half width of the void about a screw in the body
ROD_MM = 7.0
RIM_MM = 3.5
RIM_GAIN = 1.3  # of the signal beneath, on top of it
LEFT = 0.02  # share of the signal within a void

Axis = tuple[Image, float]  # coordinate, half axis


def spoil(canvas: Canvas, spine: Spine, levels: Sequence[str]) -> None:
    """Two screws at each of `levels` and two rods that join them."""
    bodies = [spine.at(level) for level in levels]
    for body in bodies:
        for side in (-1.0, 1.0):
            _screw(canvas, body, side)
            _rod(canvas, body, side)


def _screw(canvas: Canvas, body: Vertebra, side: float) -> None:
    """From the pedicle towards the midline; its tip lies in the front third, beside the middle."""
    tip, entry = (3.0 * side, -0.28 * body.depth_mm), (14.0 * side, 0.5 * body.depth_mm + 26)
    middle = (tip[0] + entry[0]) / 2, (tip[1] + entry[1]) / 2
    length = float(np.hypot(entry[0] - tip[0], entry[1] - tip[1]))
    up = 0.15 * body.height_mm
    window = canvas.plane.around(body.place(middle[0], middle[1], up), (30, 50, 30))
    if window is None:
        return
    x, a, h = body.local(window.points)
    dx, da = np.float32((entry[0] - tip[0]) / length), np.float32((entry[1] - tip[1]) / length)
    along = (x - np.float32(middle[0])) * dx + (a - np.float32(middle[1])) * da
    across = (a - np.float32(middle[1])) * dx - (x - np.float32(middle[0])) * da
    _void(canvas, window, (along, length / 2 + 4), (across, VOID_MM), (h - np.float32(up), VOID_MM))


def _rod(canvas: Canvas, body: Vertebra, side: float) -> None:
    place = (16.0 * side, body.depth_mm / 2 + 30, 0.0)
    window = canvas.plane.around(body.place(*place), (20, 20, 34))
    if window is not None:
        x, a, h = body.local(window.points)
        _void(canvas, window, (x - np.float32(place[0]), ROD_MM), (a - np.float32(place[1]), ROD_MM), (h, 22.0))


def _void(canvas: Canvas, window: Window, along: Axis, across: Axis, height: Axis) -> None:
    h, half_height = height
    void = ellipsoid(along, across, height)
    moved = ellipsoid(along, across, (h - np.float32(RIM_MM), half_height))
    gone = coverage(void, canvas.pixel_mm)
    rim = np.maximum(coverage(moved, canvas.pixel_mm) - gone, 0)
    factor = 1 - np.float32(1 - LEFT) * gone + np.float32(RIM_GAIN) * rim
    canvas.image[window.area] = canvas.image[window.area] * factor
