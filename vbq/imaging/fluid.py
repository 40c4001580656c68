"""CSF regions: at each level an oval of pure CSF along the sac, away from roots, conus and epidural fat.

The network has learnt which pixels hold little but CSF. In what it calls so, ovals along the canal are tried on every
slice near the sac's midline, the largest first. Of the purest ones that of nearly median signal counts, because the
darkest and the brightest of many noisy ovals are dark and bright by chance.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import distance_transform_edt, map_coordinates

from schemas.measurement import CSF_LEVELS, Ellipse, Level
from vbq.imaging.bodies import Body
from vbq.imaging.canonical import SagittalView
from vbq.imaging.network import CANAL, CSF, Prediction
from vbq.imaging.spine import Spine

SEMI_AXES_MM = ((8.0, 2.1), (8.0, 1.8), (7.0, 1.5), (5.0, 1.3), (3.5, 1.1))
WINDOW = 0.62  # of a body's height, either side of its middle
BEHIND_MM = 32.0
CSF_PROBABILITY = 0.8
WEAKER_PROBABILITY = 0.5  # where roots fill the sac
EDGE_MM = 0.6  # from the canal's edge
WHOLLY_INSIDE = 0.985
SMALLEST_CORE_MM2 = 15.0
SMALLEST_CHOICE_MM2 = 2.0
PUREST_SHARE = 0.5
QUANTILE = 0.35
NEAR_MIDLINE_MM = 5.0
NEAR_ENOUGH = 0.01

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FluidOval:
    """An oval of CSF on slice `place`, in the pixels of its sagittal view."""

    place: int
    oval: Ellipse
    mean: float
    purity: float
    """Mean probability of CSF within it."""


def fluid_ovals(spine: Spine, *, only: int | None = None) -> dict[Level, FluidOval]:
    """One oval for each of L1 to L3 where there is room for one; on slice `only` where given.

    The signal to expect is the middle one over the slices within 5 mm of the level's midline; of all their purest ovals
    the one that holds it is taken, so that what is shown is what is measured.
    """
    found: dict[Level, FluidOval] = {}
    for level in CSF_LEVELS:
        if level not in spine.levels or spine.midline is None or level not in spine.midline.at_mm:
            continue
        at = spine.midline.at_mm[level]
        by_distance = sorted(spine.predictions, key=lambda k: abs(spine.along_mm[k] - at))
        near = [k for k in by_distance if abs(spine.along_mm[k] - at) <= NEAR_MIDLINE_MM] or by_distance[:1]
        wanted = near if only is None else [only]
        body = spine.levels[level]
        tried = [_choices(k, spine.views[k], spine.predictions[k], body) for k in wanted]
        choices = [one for one in tried if one is not None]
        if choices:
            target = float(np.median([one.target for one in choices]))
            found[level] = min((one.nearest(target) for one in choices), key=lambda oval: _misfit(oval, target))
    return found


def _misfit(oval: FluidOval, target: float) -> tuple[float, float]:
    """Within a percent of the target the purer oval is better; slices come nearest to the midline first."""
    return round(max(abs(oval.mean - target) / max(abs(target), 1e-9), NEAR_ENOUGH), 4), -round(oval.purity, 2)


@dataclass(frozen=True, eq=False)
class _Choices:
    """The purest ovals of one size on one slice: (n,) rows, columns, means and purity; the middle signal of them."""

    place: int
    semi_axes_mm: tuple[float, float]
    angle_deg: float
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    means: Floats
    purity: Floats
    target: float

    def nearest(self, target: float) -> FluidOval:
        off = np.abs(self.means - target)
        near = np.flatnonzero(off <= max(NEAR_ENOUGH * abs(target), float(off.min())))
        index = int(near[np.argmax(self.purity[near])])
        centre = float(self.rows[index]), float(self.columns[index])
        oval = Ellipse(center=centre, semi_axes_mm=self.semi_axes_mm, angle_deg=self.angle_deg)
        return FluidOval(self.place, oval, float(self.means[index]), float(self.purity[index]))


def _choices(place: int, view: SagittalView, prediction: Prediction, body: Body) -> _Choices | None:
    """The ovals behind `body` on one slice; None where none fits into what the network calls CSF."""
    for probability in (CSF_PROBABILITY, WEAKER_PROBABILITY):
        part = _part(view, prediction, body, probability)
        if part is None:
            continue
        for semi_axes in SEMI_AXES_MM:
            found = _purest(part, semi_axes, view.spacing_mm)
            if found is not None:
                rows, columns, means, purity = found
                angle, target = 90 - math.degrees(part.angle), float(np.quantile(means, QUANTILE))
                return _Choices(place, semi_axes, angle, rows + part.row, columns + part.column, means, purity, target)
    return None


@dataclass(frozen=True, eq=False)
class _Part:
    """The surroundings of the CSF behind one body. `angle` turns the canal's direction from +row towards +column."""

    row: int
    column: int
    pixels: Floats
    purity: Floats
    allowed: Mask
    angle: float


def _part(view: SagittalView, prediction: Prediction, body: Body, probability: float) -> _Part | None:
    row_mm, column_mm = view.spacing_mm
    wall_y, wall_x = body.posterior_wall
    half, margin = WINDOW * body.height_mm, 2.0
    first, last = max(0, int((wall_y - half - margin) / row_mm)), int((wall_y + half + margin) / row_mm) + 1
    left, right = max(0, int((wall_x - 8) / column_mm)), int((wall_x + BEHIND_MM) / column_mm) + 1
    pixels = view.pixels[first:last, left:right].astype(np.float64)
    if min(pixels.shape) < 8:
        return None
    rows, columns = np.arange(pixels.shape[0]) + first, np.arange(pixels.shape[1]) + left
    grid = np.meshgrid(
        (rows + 0.5) * row_mm / prediction.pixel_mm[0] - 0.5,
        (columns + 0.5) * column_mm / prediction.pixel_mm[1] - 0.5,
        indexing="ij",
    )
    csf = map_coordinates(prediction.probabilities[CSF], grid, order=1, mode="nearest").astype(np.float64)
    rest = map_coordinates(prediction.probabilities[CANAL], grid, order=1, mode="nearest")
    inside = np.abs((rows + 0.5) * row_mm - wall_y) <= half
    core = (csf > probability) & inside[:, None]
    if core.sum() * row_mm * column_mm < SMALLEST_CORE_MM2:
        return None
    canal_rows = np.flatnonzero(core.any(axis=1))
    weights = csf * core
    middles = (weights @ np.arange(pixels.shape[1]))[canal_rows] / weights.sum(axis=1)[canal_rows]
    slope = np.polyfit(canal_rows * row_mm, middles * column_mm, 1)[0] if len(canal_rows) > 3 else 0.0
    allowed = core & (distance_transform_edt(csf + rest > 0.5, sampling=view.spacing_mm) > EDGE_MM)
    return _Part(first, left, pixels, csf, allowed, math.atan(float(slope)))


def _purest(
    part: _Part, semi_axes: tuple[float, float], spacing: tuple[float, float]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats] | None:
    """(rows, columns, means, purity) of the purest among the ovals of one size that lie in the allowed part."""
    kernel = _kernel(semi_axes, part.angle, spacing)
    fits = _averages(part.allowed.astype(np.float64), kernel) > WHOLLY_INSIDE
    if fits.sum() * spacing[0] * spacing[1] < SMALLEST_CHOICE_MM2:
        return None
    rows, columns = np.nonzero(fits)
    means, purity = _averages(part.pixels, kernel)[fits], _averages(part.purity, kernel)[fits]
    best = np.flatnonzero(purity >= np.quantile(purity, 1 - PUREST_SHARE))
    return rows[best], columns[best], means[best], purity[best]


def _kernel(semi_axes: tuple[float, float], angle: float, spacing: tuple[float, float]) -> Floats:
    """1 at pixels whose centres lie in an oval about the middle pixel."""
    reach = math.ceil(max(semi_axes) / min(spacing))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    y, x = y * spacing[0], x * spacing[1]
    along, across = y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)
    inside: Floats = ((along / semi_axes[0]) ** 2 + (across / semi_axes[1]) ** 2 <= 1).astype(np.float64)
    return np.asarray(inside / inside.sum(), dtype=np.float64)


def _averages(values: Floats, kernel: Floats) -> Floats:
    """The kernel's mean about every pixel, zeros beyond the edge; the kernel is symmetric."""
    shape = [size + kernel.shape[axis] - 1 for axis, size in enumerate(values.shape)]
    shape = [next_fast_len(size, real=True) for size in shape]
    product = np.fft.irfft2(np.fft.rfft2(values, shape) * np.fft.rfft2(kernel, shape), shape)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return np.asarray(product[top : top + values.shape[0], left : left + values.shape[1]], dtype=np.float64)
