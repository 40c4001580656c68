"""The gate, once regions are found and before any number is shown: what forbids it, and what a person must settle.

The gate before that: which series (series.py, weighting.py), how many slices, whether a spine is seen (automatic.py).
"""

import numpy as np

from schemas.measurement import BODY_LEVELS, Level, Reason
from vbq.imaging.automatic import BONE_OVER_FLUID, Found
from vbq.imaging.metal_artefact import metal_near
from vbq.imaging.quality import SATURATED_SHARE
from vbq.imaging.vbq import Score
from vbq.imaging.volume import Floats

SEVERE_CURVE_MM = 12.0
THORACIC_BODIES = 11  # so many and no sacrum: this is no lumbar view
FEWEST_OWN_LEVELS = 2


def obstacles(found: Found) -> list[Reason]:
    """What forbids a number though regions were found."""
    return [*_deformity(found), *_metal(found, several=True), *_contrast(found), *_saturation(found), *_anatomy(found)]


def doubts(found: Found, result: Score) -> list[Reason]:
    """What a person must look at before the number counts."""
    reasons = [*found.spine.numbering.unconfirmed, *_metal(found, several=False)]
    fluid = [level for level, region in result.csf.items() if region.used]
    if len(fluid) < 2:
        text = f"room for a CSF region was found at {', '.join(fluid)} alone; nothing confirms it"
        reasons.append(Reason(code="csf-single-level", text=text))
    missing = [level for level in BODY_LEVELS if level not in found.bodies]
    if missing:
        text = f"{', '.join(missing)} was not found, or is not wholly in the image"
        reasons.append(Reason(code="level-not-found", text=text))
    own = [level for level in BODY_LEVELS if level in result.levels and result.levels[level].used]
    if len(own) < FEWEST_OWN_LEVELS:
        text = f"of L1 to L4 only {', '.join(own) or 'none'} counts; the others are spoilt by lesions or fractures"
        reasons.append(Reason(code="few-own-levels", text=text))
    return reasons


def _deformity(found: Found) -> list[Reason]:
    midline = found.spine.midline
    if midline is None or midline.range_mm <= SEVERE_CURVE_MM:
        return []
    text = f"severe deformity: the canal leaves the plane by {midline.range_mm:.0f} mm between L1 and L4"
    return [Reason(code="severe-deformity", text=text)]


def _metal(found: Found, *, several: bool) -> list[Reason]:
    """Metal at two bodies and more forbids a number; at one it is for a person to judge."""
    spine = found.spine
    if not found.bodies:
        return []
    usual = float(np.median([region.mean for region in found.bodies.values()]))
    near = metal_near(spine.bodies, spine.views[spine.best], usual)
    if (len(near) > 1) != several or not near:
        return []
    names: list[Level | str] = [
        next((level for level, body in spine.levels.items() if body is spine.bodies[index]), "another body")
        for index in near
    ]
    if several:
        text = f"metal or cement at {', '.join(names)}: it spoils the signal around"
        return [Reason(code="metal", text=text)]
    text = f"what looks like metal or cement at {names[0]}: the CSF beside it may be spoilt too"
    return [Reason(code="metal-suspected", text=text)]


def _contrast(found: Found) -> list[Reason]:
    if not found.csf or not found.bodies:
        return []
    fluid = float(np.mean([region.mean for region in found.csf.values()]))
    bone = float(np.median([region.mean for region in found.bodies.values()]))
    if bone >= BONE_OVER_FLUID * fluid:
        return []
    text = "the CSF is not darker than the bone: this is not T1 contrast, or fat was suppressed"
    return [Reason(code="not-t1-by-signal", text=text)]


def _saturation(found: Found) -> list[Reason]:
    full = sorted({level for (kind, level), values in found.values.items() if kind == "body" and _full(found, values)})
    if not full:
        return []
    return [Reason(code="saturated", text=f"the signal is cut off at its largest value in {', '.join(full)}")]


def _full(found: Found, values: Floats) -> bool:
    """Pixels that reach what can be stored, or the slice's own largest value: bone is never the brightest tissue."""
    image = found.spine.views[found.spine.best].image
    largest = float(image.pixels.max())
    ceiling = largest if image.ceiling is None else min(image.ceiling, largest)
    return float(np.mean(values >= ceiling)) > SATURATED_SHARE


def _anatomy(found: Found) -> list[Reason]:
    spine = found.spine
    if spine.numbering.sacrum_top is not None or len(spine.bodies) < THORACIC_BODIES:
        return []
    text = f"{len(spine.bodies)} vertebral bodies and no sacrum: this looks like the thoracic spine"
    return [Reason(code="wrong-anatomy", text=text)]
