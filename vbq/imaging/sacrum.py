"""Does the first piece of the sacrum look like S1? Signs that the count from below may be off by one.

S1 is about as deep as the bodies above it and narrows to about two thirds at the next segment. Where the piece does not
narrow, a lumbar vertebra may have merged with it; where it is thin so near its top, its first segment may stand above
it as a lumbar body (O'Driscoll et al., Skeletal Radiol 1996;25:225-230, on the shape of S1 and the disc below).
Limits: between the phantoms with such variants and the twelve real series at hand; those are few.
"""

import math

import numpy as np
from numpy.typing import NDArray

from schemas.measurement import Reason
from vbq.imaging.bodies import Body
from vbq.imaging.endplates import Point

STEP_MM = 6.0
STEPS = 6
TOP_STEPS = 3  # the widest of these is the first segment's depth
NEXT = 4  # 24 to 30 mm below the top: the next segment's upper part
FARTHER = 5  # 30 to 36 mm below
THIN = 0.57  # of the lumbar bodies' depth, there; real sacra at hand: .61 to .87, lumbarised phantoms: .48 to .54
STAYS_WIDE = 0.90  # of its own depth at the top
REACH_MM = 45.0
DISC_FROM_MM = 10.0  # below the first segment's top: past the disc above it
DISC_MM2 = 25.0  # usual: 0 to 6, phantoms and real; an L5 taken for S1 (vb2-16, turned by 12 degrees): 55

Mask = NDArray[np.bool_]


def sacral_doubts(
    sacrum: Mask, discs: Mask, pixel_mm: tuple[float, float], bodies: list[Body], top: Point
) -> list[Reason]:
    """Doubts from the shape of the sacrum's piece and from `discs` (masks of the map) below `bodies`, head to foot."""
    below = _ahead(discs, pixel_mm, bodies[-1].centre, top)
    inside = float((below > DISC_FROM_MM).sum()) * pixel_mm[0] * pixel_mm[1]
    if inside >= DISC_MM2:
        text = "a disc is seen below what looks like the sacrum's first segment (transitional, or a steep L5)"
        return [Reason(code="transitional", text=text)]
    widths = depth_profile(sacrum, pixel_mm, bodies[-1].centre, top)
    first = max(widths[:TOP_STEPS], default=0.0)
    if len(widths) <= NEXT or first <= 0:
        text = "too little of the sacrum is in view to tell by its shape which segment is the first"
        return [Reason(code="sacrum-cut-off", text=text)]
    usual = float(np.median([body.depth_mm for body in bodies[-4:]]))
    if widths[NEXT] < THIN * usual:
        text = "the sacrum's first segment is small: the lowest vertebra may be a lumbarised S1 (transitional)"
        return [Reason(code="transitional", text=text)]
    if len(widths) > FARTHER and widths[FARTHER] >= STAYS_WIDE * first:
        text = "the sacrum's first segment is long: a lumbar vertebra may have merged with it (transitional)"
        return [Reason(code="transitional", text=text)]
    return []


def depth_profile(sacrum: Mask, pixel_mm: tuple[float, float], lowest: Point, top: Point) -> list[float]:
    """Depth (mm) of the piece in steps of 6 mm down from its top, along the line from the lowest body's centre."""
    along = _ahead(sacrum, pixel_mm, lowest, top)
    if not along.size:
        return []
    start = float(np.percentile(along, 2))
    counts, _ = np.histogram(along - start, bins=np.arange(STEPS + 1) * STEP_MM)
    depths = [float(count) * pixel_mm[0] * pixel_mm[1] / STEP_MM for count in counts]
    seen = float(along.max()) - start
    return depths[: int(seen / STEP_MM)]


def _ahead(mask: Mask, pixel_mm: tuple[float, float], lowest: Point, top: Point) -> NDArray[np.float64]:
    """How far (mm) the pixels of a mask near `top` lie beyond it, on the line from the lowest body's centre."""
    rows, columns = np.nonzero(mask)
    y, x = (rows + 0.5) * pixel_mm[0] - top[0], (columns + 0.5) * pixel_mm[1] - top[1]
    near = np.hypot(y, x) < REACH_MM
    length = math.dist(lowest, top)
    if length == 0:
        return np.zeros(0)
    return np.asarray(((y * (top[0] - lowest[0]) + x * (top[1] - lowest[1])) / length)[near], dtype=np.float64)
