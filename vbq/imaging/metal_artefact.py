"""Metal along the spine: a void with a bright rim, where the displaced signal piled up, or a void that is large alone.

Cement is as dark and as large and counts as metal here. Sclerosis is not so dark, gas in a disc not so tall.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening, gaussian_filter, label, map_coordinates

from vbq.imaging.bodies import Body
from vbq.imaging.canonical import SagittalView

STEP_MM = 0.75
ACROSS = 0.45  # of a body's depth, to either side of the line through the centres
BEYOND_MM = 16.0  # past the first and the last centre
VOID_BELOW, RIM_ABOVE = 0.20, 1.8  # of the marrow's usual signal
TALL_MM, BROAD_MM = 5.0, 3.0  # the least that a screw leaves; endplates are thinner
VOID_MM2, RIM_MM2 = 50.0, 15.0
LARGE_VOID_MM2 = 90.0  # needs no rim: it may have piled up in a dark disc
RIM_WITHIN_MM = 5.0

Strip = NDArray[np.float64]


def metal_near(bodies: Sequence[Body], view: SagittalView, usual: float) -> list[int]:
    """Indices of the bodies (head to foot) nearest to each piece of metal; `usual` is the marrow's signal."""
    if len(bodies) < 2 or usual <= 0:
        return []
    strip, along, centres = _straightened(bodies, view)
    strip = np.where(np.isnan(strip), usual, strip)  # what the image does not show is not a void
    smooth = gaussian_filter(strip / usual, 1.0)
    shape = np.ones((round(TALL_MM / STEP_MM), round(BROAD_MM / STEP_MM)), dtype=np.bool_)
    pieces, count = label(binary_opening(smooth < VOID_BELOW, structure=shape))
    bright = smooth > RIM_ABOVE
    found = []
    for number in range(1, count + 1):
        piece = pieces == number
        size = float(piece.sum()) * STEP_MM**2
        if size < VOID_MM2:
            continue
        around = binary_dilation(piece, iterations=round(RIM_WITHIN_MM / STEP_MM))
        if size >= LARGE_VOID_MM2 or (around & bright).sum() * STEP_MM**2 >= RIM_MM2:
            middle = float(along[np.nonzero(piece)[0]].mean())
            found.append(int(np.argmin(np.abs(centres - middle))))
    return sorted(set(found))


def _straightened(bodies: Sequence[Body], view: SagittalView) -> tuple[Strip, Strip, Strip]:
    """(pixels along x across the column, mm along of each row, mm along of each body's centre); nan off the image."""
    places = np.array([body.centre for body in bodies])
    lengths = np.array([math.dist(one, other) for one, other in pairwise(places)])
    centres = np.concatenate([[0.0], np.cumsum(lengths)])
    along = np.arange(-BEYOND_MM, centres[-1] + BEYOND_MM, STEP_MM)
    first, last = (places[1] - places[0]) / lengths[0], (places[-1] - places[-2]) / lengths[-1]
    line = np.stack([np.interp(along, centres, places[:, axis]) for axis in (0, 1)], axis=1)
    line += np.minimum(along, 0)[:, None] * first + np.maximum(along - centres[-1], 0)[:, None] * last
    direction = np.gradient(line, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    half = ACROSS * float(np.median([body.depth_mm for body in bodies]))
    across = np.arange(-half, half + STEP_MM, STEP_MM)
    rows = (line[:, 0, None] - direction[:, 1, None] * across) / view.spacing_mm[0] - 0.5
    columns = (line[:, 1, None] + direction[:, 0, None] * across) / view.spacing_mm[1] - 0.5
    strip = map_coordinates(view.pixels.astype(np.float64), [rows, columns], order=1, mode="constant", cval=np.nan)
    return np.asarray(strip), along, centres
