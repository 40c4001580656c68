"""The true regions: ovals of pure marrow and of pure CSF on the mid-sagittal slice, placed by knowing the anatomy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.measurement import BODY_LEVELS, CSF_LEVELS, Ellipse, Level
from vbq.simulate.anatomy import Anatomy
from vbq.simulate.conditions import NONE
from vbq.simulate.plane import Image, Plane
from vbq.simulate.spine import Vertebra

NAMED_LEVELS: tuple[Level, ...] = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")
STAND_INS: tuple[Level, ...] = ("T12", "L5")
CSF_SEMI_AXES_MM = ((5.5, 2.1), (5.0, 1.8), (5.5, 1.5), (5.5, 1.3), (4.5, 1.2), (3.5, 1.1), (3.0, 0.9))
PURE = 0.97
PURE_ENOUGH = 0.85  # where metal spoils the canal, what is left must still be CSF


@dataclass(frozen=True)
class TrueRegions:
    """Ovals per level on one plane. `bodies` holds every level in the image, `used` those that the score takes."""

    bodies: dict[Level, Ellipse]
    csf: dict[Level, Ellipse]
    used: tuple[Level, ...]


def true_regions(anatomy: Anatomy, plane: Plane, csf_share: Image) -> TrueRegions:
    """Ovals on `plane`; `csf_share` is the share of CSF in each pixel, blurred as the image is.

    A fractured body, or one that metal or a lesion spoils, has no oval; T12 or L5, whichever is nearer, stands in for
    it, as the paper's readers did.
    """
    bodies: dict[Level, Ellipse] = {}
    for level in NAMED_LEVELS:
        ellipse = _body_oval(anatomy.spine.at(level), plane)
        if _inside(ellipse, plane):
            bodies[level] = ellipse
    conditions = anatomy.parameters.conditions
    fractured = {fracture.level for fracture in anatomy.parameters.fractures} | conditions.spoilt
    used = [level for level in BODY_LEVELS if level not in fractured and level in bodies]
    spare = [level for level in STAND_INS if level not in fractured and level in bodies]
    for level in (level for level in BODY_LEVELS if level not in used):
        if spare:
            order = NAMED_LEVELS.index(level)
            nearest = min(spare, key=lambda other: (abs(NAMED_LEVELS.index(other) - order), other))
            spare.remove(nearest)
            used.append(nearest)
    ordered = tuple(sorted(used, key=NAMED_LEVELS.index))
    fluid = {level: _csf_oval(anatomy, anatomy.spine.at(level), plane, csf_share) for level in CSF_LEVELS}
    found = {level: oval for level, oval in fluid.items() if oval is not None}
    if len(found) < len(fluid) and conditions == NONE:
        raise ValueError("the image holds no canal behind L1 to L3; use a larger field of view")
    return TrueRegions({level: oval for level, oval in bodies.items() if level not in fractured}, found, ordered)


def _body_oval(body: Vertebra, plane: Plane) -> Ellipse:
    """The medullary part, ahead of the vein's mouth and well off the cortex."""
    centre, right = plane.pixel_of(body.place(0, -0.075 * body.depth_mm, 0)), plane.pixel_of(body.place(0, 20, 0))
    middle = plane.pixel_of(body.place(0, 0, 0))
    angle = math.atan2((right[0] - middle[0]) * plane.spacing_mm[0], (right[1] - middle[1]) * plane.spacing_mm[1])
    return Ellipse(
        center=(round(centre[0], 2), round(centre[1], 2)),
        semi_axes_mm=(round(0.26 * body.depth_mm, 2), round(0.27 * body.height_mm, 2)),
        angle_deg=round(math.degrees(angle), 1),
    )


def _csf_oval(anatomy: Anatomy, body: Vertebra, plane: Plane, csf_share: Image) -> Ellipse | None:
    """The largest oval of pure CSF behind `body`, along the canal; of equal ones the purest and nearest the middle.

    None where the image, or metal, leaves no room for one.
    """
    profile, canal = anatomy.profile, anatomy.canal
    best: tuple[float, Ellipse] | None = None
    wall = body.place(0, body.depth_mm / 2, 0)[2]
    for semi_axes in CSF_SEMI_AXES_MM:
        for dz in np.arange(-0.45, 0.46, 0.09) * body.height_mm:
            z = float(wall + dz)
            angle = round(90 - math.degrees(profile.canal_angle(z)), 1)
            for q in np.arange(1.5, 2 * canal.sac_half_depth_mm, 0.5):
                row, column = plane.pixel_of(profile.canal_place(canal.ventral_gap_mm + float(q), z))
                ellipse = Ellipse(center=(round(row, 2), round(column, 2)), semi_axes_mm=semi_axes, angle_deg=angle)
                if not _inside(ellipse, plane):
                    continue
                purity = float(csf_share[pixels_inside(ellipse, plane)].min())
                score = min(purity, PURE) - 1e-3 * abs(float(dz)) / body.height_mm
                if best is None or score > best[0]:
                    best = score, ellipse
        if best is not None and best[0] > PURE - 1e-3:
            break
    spoilt = best is None or (anatomy.parameters.conditions != NONE and best[0] < PURE_ENOUGH)
    return None if spoilt or best is None else best[1]


def pixels_inside(ellipse: Ellipse, plane: Plane) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels whose centres lie in `ellipse`."""
    a, b = ellipse.semi_axes_mm
    row, column = ellipse.center
    reach = max(a, b)
    r0, c0 = math.floor(row - reach / plane.spacing_mm[0]), math.floor(column - reach / plane.spacing_mm[1])
    r1, c1 = math.ceil(row + reach / plane.spacing_mm[0]) + 1, math.ceil(column + reach / plane.spacing_mm[1]) + 1
    down = (np.arange(r0, r1) - row)[:, None] * plane.spacing_mm[0]
    right = (np.arange(c0, c1) - column)[None, :] * plane.spacing_mm[1]
    cos, sin = math.cos(math.radians(ellipse.angle_deg)), math.sin(math.radians(ellipse.angle_deg))
    rows, columns = np.nonzero(((right * cos + down * sin) / a) ** 2 + ((down * cos - right * sin) / b) ** 2 <= 1)
    return rows + r0, columns + c0


def _inside(ellipse: Ellipse, plane: Plane) -> bool:
    reach = max(ellipse.semi_axes_mm) / min(plane.spacing_mm) + 2
    return all(reach < at < size - 1 - reach for at, size in zip(ellipse.center, plane.shape, strict=True))


def ratio(image: NDArray[np.uint16] | Image, regions: TrueRegions, plane: Plane) -> float:
    """VBQ on stored pixels: mean of the bodies' means over the mean of the CSF's means."""
    bodies = means(image, [regions.bodies[level] for level in regions.used], plane)
    csf = means(image, list(regions.csf.values()), plane)
    return float(np.mean(bodies) / np.mean(csf))


def means(image: NDArray[np.uint16] | Image, ellipses: Sequence[Ellipse], plane: Plane) -> list[float]:
    """The mean stored value in each ellipse."""
    return [float(image[pixels_inside(ellipse, plane)].mean(dtype=np.float64)) for ellipse in ellipses]
