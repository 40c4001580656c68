"""Vertebral regions: an oval in the medullary part of each body, and which bodies do not speak for the marrow.

Margins from the marrow's edge (the network leaves the cortex out): 3 mm to the front wall and to the endplates, 8 mm to
the back wall, where the basivertebral vein enters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse, Level
from vbq.imaging.bodies import Body
from vbq.imaging.canonical import SagittalView
from vbq.imaging.regions import mask_of
from vbq.imaging.volume import Floats

FRONT_MM, BACK_MM, ENDPLATE_MM = 3.0, 8.0, 3.0
SMALLEST_SEMI_AXES_MM = (3.0, 2.0)
SIGNAL_OFF = 0.22  # of what the other bodies let expect at that height
UNEVEN_SD, UNEVEN_TIMES = 0.22, 2.2
BRIGHT_PART, DARK_PART = 0.15, -0.20  # of the 85th and the 15th percentile, on the log scale
WHOLE_TOO = 0.08  # and the mean is off the same way: noise widens an oval to both sides
PART_ONLY = 0.10  # and the other percentile is less so: the coil moves all of an oval alike
VOID_BELOW, VOID_SHARE = 0.30, 0.08


def body_oval(body: Body, view: SagittalView) -> Ellipse:
    """The oval of a body, in pixels of `view`."""
    usable = body.depth_mm - FRONT_MM - BACK_MM
    height = min(body.heights_mm) - 2 * ENDPLATE_MM
    semi_axes = max(usable / 2, SMALLEST_SEMI_AXES_MM[0]), max(height / 2, SMALLEST_SEMI_AXES_MM[1])
    y, x = body.place((FRONT_MM - BACK_MM) / 2, 0.0)
    return Ellipse(
        center=(round(y / view.spacing_mm[0] - 0.5, 2), round(x / view.spacing_mm[1] - 0.5, 2)),
        semi_axes_mm=(round(semi_axes[0], 2), round(semi_axes[1], 2)),
        angle_deg=round(math.degrees(body.angle_rad), 1),
    )


def pixels_in(oval: Ellipse, view: SagittalView) -> Floats | None:
    """Values in an oval of the view; None where it reaches beyond the image."""
    try:
        rows, columns, mask = mask_of(oval, view.pixels.shape[0], view.pixels.shape[1], view.spacing_mm)
    except NotMeasurable:
        return None
    return view.pixels[rows, columns][mask].astype(np.float64)


@dataclass(frozen=True)
class Marrow:
    """What an oval holds, and where its body lies from head to foot."""

    y_mm: float
    values: Floats


def outlying(marrow: Mapping[Level, Marrow]) -> dict[Level, str]:
    """Levels whose signal does not speak for the marrow, with the reason: lesion, void, unevenness."""
    found: dict[Level, str] = {}
    if len(marrow) < 4:
        return found
    levels = list(marrow)
    means = np.array([max(float(marrow[level].values.mean()), 1e-6) for level in levels])
    usual = float(np.median(means))
    spread = np.array([float(marrow[level].values.std()) for level in levels]) / means
    y = np.array([marrow[level].y_mm for level in levels])
    off = _off_trend(y, np.log(means))
    dark, bright = (_off_trend(y, _logs_of_percentile(marrow, share)) for share in (15, 85))
    for index, level in enumerate(levels):
        void = float(np.mean(marrow[level].values < VOID_BELOW * usual))
        if void > VOID_SHARE:
            found[level] = f"{void:.0%} of the oval has hardly any signal (metal, sclerosis or air)"
        elif abs(off[index]) > SIGNAL_OFF:
            word = "brighter" if off[index] > 0 else "darker"
            amount = abs(math.expm1(off[index]))
            found[level] = (
                f"{amount:.0%} {word} than the other bodies let expect (lesion, haemangioma, oedema or fracture)"
            )
        elif bright[index] > BRIGHT_PART and off[index] > WHOLE_TOO and bright[index] - dark[index] > PART_ONLY:
            found[level] = (
                f"part of the oval is {math.expm1(bright[index]):.0%} brighter than in the other bodies (lesion)"
            )
        elif dark[index] < DARK_PART and off[index] < -WHOLE_TOO and bright[index] - dark[index] > PART_ONLY:
            found[level] = (
                f"part of the oval is {-math.expm1(dark[index]):.0%} darker than in the other bodies "
                "(Modic change, Schmorl node, oedema or sclerosis)"
            )
        elif spread[index] > UNEVEN_SD and spread[index] > UNEVEN_TIMES * float(np.median(spread)):
            found[level] = "the marrow within the oval is uneven (Modic change, Schmorl node or lesion)"
    return found


def _logs_of_percentile(marrow: Mapping[Level, Marrow], share: float) -> Floats:
    return np.log([max(float(np.percentile(one.values, share)), 1e-6) for one in marrow.values()])


def _off_trend(y: Floats, logs: Floats) -> Floats:
    """Each value less a line through the others by Theil and Sen: the coil makes signal fall off along the spine."""
    off = np.zeros(len(y))
    for index in range(len(y)):
        others = np.delete(np.arange(len(y)), index)
        slopes = [
            (logs[j] - logs[i]) / (y[j] - y[i]) for n, i in enumerate(others) for j in others[n + 1 :] if y[i] != y[j]
        ]
        slope = float(np.median(slopes)) if slopes else 0.0
        base = float(np.median(logs[others] - slope * y[others]))
        off[index] = logs[index] - base - slope * y[index]
    return off
