"""How steeply the coil's sensitivity changes from front to back: what the place of a CSF region within the sac costs.

A surface coil behind the back is brighter the nearer it is. Marrow is the one tissue here that is large and nearly
even, so the slope of its signal towards the back tells that of the coil; at the sac, a body's depth farther on, it is
about the same.
"""

from collections.abc import Mapping

import numpy as np

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse, Level
from vbq.imaging.canonical import SagittalView
from vbq.imaging.regions import mask_of

FEWEST_PIXELS = 30
FEWEST_BODIES = 3
PLACEMENT_MM = 2.0
"""SD of where a CSF region lies in the sac from front to back, per level, between two ways of placing it that both find
pure CSF: the automatic one and the phantom's (seeds 100 to 163; 1.2 mm in the mean of three levels)."""
PLACEMENT_IN_COMMON = 0.2
"""Correlation of that between levels (seeds 100 to 179; .09 to .41): a pocket before the roots may be free at all."""
STEEP_PER_MM = 0.015
"""Regions 7 mm apart, both within the sac, then differ by 10 %."""


def slope_to_the_back(oval: Ellipse, view: SagittalView) -> float | None:
    """Relative change of signal per mm to the back within a body's oval; None where it cannot be told.

    A plane is fitted, so that falloff along the spine does not pass for one across it.
    """
    try:
        rows, columns, mask = mask_of(oval, view.pixels.shape[0], view.pixels.shape[1], view.spacing_mm)
    except NotMeasurable:
        return None
    values = view.pixels[rows, columns][mask].astype(np.float64)
    mean = float(values.mean()) if values.size else 0.0
    if values.size < FEWEST_PIXELS or mean <= 0:
        return None
    down, back = (index * step for index, step in zip(np.nonzero(mask), view.spacing_mm, strict=True))
    plane = np.stack([np.ones_like(back), back - back.mean(), down - down.mean()], axis=1)
    return float(np.linalg.lstsq(plane, values / mean, rcond=None)[0][1])


def coil_slope(slopes: Mapping[Level, float]) -> float | None:
    """Relative change per mm to the back: the middle of the bodies', which one lesion does not move."""
    return float(np.median(list(slopes.values()))) if len(slopes) >= FEWEST_BODIES else None
