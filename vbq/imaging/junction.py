"""Is the lowest body a free L5 above its disc? Signs of a transitional vertebra at the lumbosacral junction.

A vertebra that has joined the sacrum (sacralised L5) keeps a thin remnant of a disc below, lies nearly parallel to the
sacrum's plate, turns with the sacrum and is shallower than the bodies above; one that has left it (lumbarised S1) is
square and nearly parallel to the next (Wigh, Radiology 1980;134:427-433; O'Driscoll et al., Skeletal Radiol
1996;25:225-230). A worn disc is thin as well: one sign alone says nothing, unless the disc has all but gone. The limits
lie between phantoms (seeds 300 to 315 with each variant, worn and collapsed discs) and twelve real series.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.measurement import Reason
from vbq.imaging.bodies import Body
from vbq.imaging.endplates import Point
from vbq.imaging.sacrum import NEXT, depth_profile

THIN_TO_USUAL, THIN_TO_NEXT = 0.80, 0.62  # the space below the lowest body over those above it, over the next one
GONE_TO_USUAL, GONE_TO_NEXT = 0.62, 0.50
FLAT_DEG = 12.0  # between the body's axis and the sacrum's plate; usual is 15 to 25
SHALLOW = 0.965  # its depth over that of the bodies above
TURNED_DEG = 19.5  # more than the body above
SQUARE = 1.12  # height over depth, over that of the bodies above
NARROW = 0.68  # the sacrum 24 to 30 mm below its top over the depth of those bodies; beside a square body alone
SHARE = 0.45  # of the depth to either side, over which the plate is looked at
STEP_MM, HALF_STEP_MM = 2.0, 1.2
FEWEST_STEPS = 5
FEWEST_BODIES = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Junction:
    """The lowest body and the sacrum below it, against the bodies above."""

    to_usual: float
    """The space below the lowest body over the median of (at most three) spaces above."""
    to_next: float
    """The same over the space just above."""
    wedge_deg: float
    """Between the lowest body's axis and the sacrum's plate, open to the front where positive."""
    turn_deg: float
    """How much more the lowest body is turned than the one above it."""
    depth: float
    """Of the lowest body over the median of those above."""
    squareness: float
    """Height over depth, over the median of those above."""


def junction_of(bodies: list[Body], sacrum: Mask, pixel_mm: tuple[float, float]) -> Junction | None:
    """The junction below `bodies` (head to foot) and above the piece `sacrum`; None where too little of it is seen."""
    if len(bodies) < FEWEST_BODIES:
        return None
    *above, lowest = bodies[-FEWEST_BODIES:]
    plate = _plate(lowest, sacrum, pixel_mm)
    if plate is None:
        return None
    back, down = plate
    at = [share * lowest.depth_mm for share in (-0.36, 0.0, 0.36)]
    own = np.interp(back, at, [height / 2 for height in lowest.heights_mm])
    space = float(np.median(down - own))
    spaces = [
        math.dist(upper.centre, lower.centre) - (upper.height_mm + lower.height_mm) / 2
        for upper, lower in pairwise([*above, lowest])
    ]
    if min(spaces) <= 0 or lowest.height_mm <= 0:
        return None
    depth = float(np.median([body.depth_mm for body in above]))
    height = float(np.median([body.height_mm for body in above]))
    return Junction(
        to_usual=space / float(np.median(spaces)),
        to_next=space / spaces[-1],
        wedge_deg=-math.degrees(math.atan(float(np.polyfit(back, down, 1)[0]))),
        turn_deg=math.degrees(above[-1].angle_rad - lowest.angle_rad),
        depth=lowest.depth_mm / depth,
        squareness=lowest.height_mm / height / (lowest.depth_mm / depth),
    )


def junction_doubts(bodies: list[Body], sacrum: Mask, pixel_mm: tuple[float, float], top: Point) -> list[Reason]:
    """Why the lowest of `bodies` (head to foot) may be a transitional vertebra, by its own shape and place.

    `top` lies within the uppermost part of `sacrum`.
    """
    seen = junction_of(bodies, sacrum, pixel_mm)
    if seen is None:
        return []
    flat = seen.wedge_deg < FLAT_DEG
    part_of_sacrum = seen.depth < SHALLOW or seen.turn_deg > TURNED_DEG
    share = f"{max(seen.to_usual, 0):.0%}"
    if seen.to_usual < GONE_TO_USUAL or seen.to_next < GONE_TO_NEXT:
        text = f"the space below the lowest body is {share} of those above: a remnant of a disc (transitional), or worn"
        return [Reason(code="transitional", text=text)]
    if (seen.to_usual < THIN_TO_USUAL or seen.to_next < THIN_TO_NEXT) and flat and part_of_sacrum:
        text = f"the lowest body lies like a part of the sacrum, with {share} of the usual space below (transitional)"
        return [Reason(code="transitional", text=text)]
    if seen.squareness > SQUARE and (flat or _narrow(bodies, sacrum, pixel_mm, top)):
        text = "the lowest body is square, the sacrum below it flat or narrow: it may be a lumbarised S1 (transitional)"
        return [Reason(code="transitional", text=text)]
    return []


def _narrow(bodies: list[Body], sacrum: Mask, pixel_mm: tuple[float, float], top: Point) -> bool:
    """Whether the sacrum is as thin as a second segment where the lower part of its first one should be."""
    profile = depth_profile(sacrum, pixel_mm, bodies[-1].centre, top)
    usual = float(np.median([body.depth_mm for body in bodies[-FEWEST_BODIES:]]))
    return len(profile) > NEXT and profile[NEXT] < NARROW * usual


def _plate(lowest: Body, sacrum: Mask, pixel_mm: tuple[float, float]) -> tuple[NDArray[np.float64], ...] | None:
    """(back, down): the sacrum's upper edge in steps along the lowest body's axis, mm in that body's own frame."""
    rows, columns = np.nonzero(sacrum)
    y, x = (rows + 0.5) * pixel_mm[0] - lowest.centre[0], (columns + 0.5) * pixel_mm[1] - lowest.centre[1]
    cos, sin = math.cos(lowest.angle_rad), math.sin(lowest.angle_rad)
    back, down = x * cos + y * sin, y * cos - x * sin
    places, edges = [], []
    for place in np.arange(-SHARE * lowest.depth_mm, SHARE * lowest.depth_mm, STEP_MM):
        here = down[np.abs(back - place) < HALF_STEP_MM]
        if here.size > 3:
            places.append(float(place))
            edges.append(float(np.percentile(here, 1)))
    return (np.array(places), np.array(edges)) if len(places) >= FEWEST_STEPS else None
