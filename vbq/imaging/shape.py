"""Heights of vertebral bodies, and a suspected Genant grade: a finding for a person to look at, not a diagnosis."""

from collections.abc import Mapping

import numpy as np

from schemas.measurement import BodyShape, Level
from vbq.imaging.bodies import Body

GRADES = ((0.40, 3), (0.25, 2), (0.20, 1))
USUAL_WAIST = 0.93  # middle over posterior height of a sound body: endplates are hollow by a millimetre each
USUAL_HEIGHT_MM: dict[Level, float] = {
    "T11": 21.5,
    "T12": 23.5,
    "L1": 24.5,
    "L2": 25.5,
    "L3": 26.0,
    "L4": 26.0,
    "L5": 26.0,
}
"""Adult women's, for the ratio of one level to the next alone."""


def body_shapes(bodies: Mapping[Level, Body]) -> dict[Level, BodyShape]:
    """Anterior, middle and posterior height of each whole body, and how much of the expected height is lost.

    Expected is the largest of the body's own heights and the median of its neighbours' (two to each side), scaled as
    heights usually grow from level to level.
    L5 is wedge-shaped by nature: its front is compared with its neighbours' fronts, and its back is not graded.
    Genant et al., J Bone Miner Res 1993;8:1137-1148: grade 1 from 20 %, 2 from 25 %, 3 from 40 %.
    """
    levels = [level for level in USUAL_HEIGHT_MM if level in bodies and not bodies[level].cut]
    found: dict[Level, BodyShape] = {}
    for index, level in enumerate(levels):
        near = [levels[other] for other in range(max(0, index - 2), min(len(levels), index + 3)) if other != index]
        front, middle, back = bodies[level].heights_mm
        scaled = [max(bodies[other].heights_mm) / USUAL_HEIGHT_MM[other] for other in near]
        usual = float(np.median(scaled)) * USUAL_HEIGHT_MM[level] if near else 0.0
        expected = max(back, front, usual) if level != "L5" else max(front, usual)
        lowest = min(front, middle / USUAL_WAIST) if level == "L5" else min(front, middle / USUAL_WAIST, back)
        loss = max(0.0, 1 - lowest / expected) if expected > 0 else 0.0
        grade = next((number for threshold, number in GRADES if loss >= threshold), 0)
        found[level] = BodyShape(
            heights_mm=(round(front, 1), round(middle, 1), round(back, 1)),
            anterior_posterior=round(front / back, 3) if back > 0 else 0.0,
            middle_posterior=round(middle / back, 3) if back > 0 else 0.0,
            loss=round(loss, 3),
            suspected_genant_grade=grade,
        )
    return found
