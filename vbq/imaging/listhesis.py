"""How far neighbouring bodies have slipped on each other, along the disc between them."""

import math
from itertools import pairwise

from vbq.imaging.bodies import Body

LISTHESIS_MM = 4.0


def slip_mm(upper: Body, lower: Body) -> float:
    """How far `upper` lies behind `lower` (mm, negative: ahead), from the facing plates' corners.

    Front and back must be off the same way, and the smaller counts: bodies differ in depth, and one corner may bear a
    spur.
    """
    above, below = upper.lower_plate, lower.upper_plate
    along = (above.angle_rad + below.angle_rad) / 2
    front, back = (
        (high[1] - low[1]) * math.cos(along) + (high[0] - low[0]) * math.sin(along)
        for high, low in ((above.front, below.front), (above.back, below.back))
    )
    return min(front, back, key=abs) if front * back > 0 else 0.0


def slips(whole: list[Body]) -> dict[int, float]:
    """By id of a body (head to foot), how far (mm) it has slipped on the one below, where that is more than 4 mm."""
    found = {id(upper): abs(slip_mm(upper, lower)) for upper, lower in pairwise(whole)}
    return {body: slip for body, slip in found.items() if slip > LISTHESIS_MM}
