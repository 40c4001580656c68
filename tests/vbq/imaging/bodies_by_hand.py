"""Vertebral bodies of known measures, and maps of them as a network would give that is sure of all it sees."""

import math

import numpy as np
from numpy.typing import NDArray

from vbq.imaging.bodies import Body
from vbq.imaging.endplates import Endplate
from vbq.imaging.network import DISC, SACRUM, VERTEBRAL_BODY

Corners = list[tuple[float, float]]
"""(y, x) in mm: upper front, upper back, lower back, lower front."""


def body(
    y: float, *, x: float = 60.0, depth: float = 34.0, height: float = 26.0, turned_deg: float = 0.0, cut: bool = False
) -> Body:
    """A rectangle, its front turned down by `turned_deg`."""
    angle = math.radians(-turned_deg)
    upper, lower = (Endplate((end * height / 2, -depth / 2), (end * height / 2, depth / 2)) for end in (-1, 1))
    return Body(
        centre=(y, x),
        angle_rad=angle,
        depth_mm=depth,
        height_mm=height,
        heights_mm=(height, height, height),
        area_mm2=depth * height,
        sureness=0.97,
        upper_plate=upper.in_view((y, x), angle),
        lower_plate=lower.in_view((y, x), angle),
        cut=cut,
    )


def filled(corners: Corners, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (1 mm) within a convex outline, given clockwise as seen on the screen."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.ones(shape, dtype=bool)
    for (y0, x0), (y1, x1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        inside &= (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0) >= 0
    return inside


def map_of(
    bodies: list[NDArray[np.bool_]], discs: NDArray[np.bool_] | None = None, sacrum: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Probabilities (6, rows, columns): .98 where a mask is, the rest shared."""
    found = np.full((6, *bodies[0].shape), 0.004, dtype=np.float32)
    found[0] = 0.98
    for mask, name in ((sacrum, SACRUM), (discs, DISC), (np.any(bodies, axis=0), VERTEBRAL_BODY)):
        if mask is not None:
            found[:, mask] = 0.004
            found[name][mask] = 0.98
    return found
