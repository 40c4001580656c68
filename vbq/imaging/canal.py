"""The spinal canal across a stack's slices: where its midline lies at each level, and so which slice to measure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from schemas.measurement import Level
from vbq.imaging.bodies import Body
from vbq.imaging.network import CANAL, CSF, Prediction

WINDOW = 0.55  # of a body's height, either side of its middle
DEPTH_MM = 28.0  # behind the posterior wall
CENTROID_CUT = 0.35
OUTLIER_MM = 3.0
MEASURED_LEVELS: tuple[Level, ...] = ("L1", "L2", "L3", "L4")


def sac_thickness(prediction: Prediction, body: Body) -> float:
    """How thick (mm) canal and CSF are behind `body`, from front to back, on average over its height."""
    y_mm, x_mm = prediction.pixel_mm
    probability = prediction.probabilities[CANAL] + prediction.probabilities[CSF]
    wall_y, wall_x = body.posterior_wall
    half = WINDOW * body.height_mm
    first, last = max(0, int((wall_y - half) / y_mm)), int((wall_y + half) / y_mm) + 1
    left, right = max(0, int((wall_x - 4) / x_mm)), int((wall_x + DEPTH_MM) / x_mm) + 1
    window = probability[first:last, left:right]
    if window.size == 0:
        return 0.0
    return float(window.sum(axis=1).mean() * x_mm * math.cos(body.angle_rad))


@dataclass(frozen=True)
class Midline:
    """Where the sac's middle lies along the slice normal (mm), per level, and how thick it is in each slice."""

    at_mm: dict[Level, float]
    thickness_mm: dict[Level, dict[int, float]]

    @property
    def mean_mm(self) -> float:
        """Mean over L1 to L4, those of them that are there, else over all."""
        wanted = [at for level, at in self.at_mm.items() if level in MEASURED_LEVELS]
        return float(np.mean(wanted or list(self.at_mm.values())))

    @property
    def range_mm(self) -> float:
        """How far the levels L1 to L4 lie apart: the curve of the spine to the side."""
        wanted = [at for level, at in self.at_mm.items() if level in MEASURED_LEVELS]
        return max(wanted) - min(wanted) if wanted else 0.0


def find_midline(
    predictions: Mapping[int, Prediction], bodies: Mapping[Level, Body], along_mm: NDArray[np.float64]
) -> Midline:
    """The weighted middle of the sac's thickness over the slices, per level, then smoothed from level to level.

    `along_mm` (slices,) is each slice's place along the normal; `predictions` maps indices of slices to maps.
    """
    order = sorted(predictions)
    thick = {level: {k: sac_thickness(predictions[k], body) for k in order} for level, body in bodies.items()}
    found = {level: _centroid(along_mm[order], np.array(list(row.values()))) for level, row in thick.items()}
    known = {level: at for level, at in found.items() if at is not None}
    return Midline(_smoothed(known, bodies), thick)


def _centroid(at: NDArray[np.float64], thickness: NDArray[np.float64]) -> float | None:
    best = int(np.argmax(thickness))
    if thickness[best] < 4.0:
        return None
    above = np.clip(thickness - CENTROID_CUT * thickness[best], 0, None)
    first = last = best
    while first > 0 and above[first - 1] > 0:
        first -= 1
    while last < len(above) - 1 and above[last + 1] > 0:
        last += 1
    part = slice(first, last + 1)
    return float((at[part] * above[part]).sum() / above[part].sum())


def _left_out(count: int) -> list[tuple[int, ...]]:
    most = 2 if count >= 6 else 1 if count == 5 else 0
    return [out for size in range(most + 1) for out in combinations(range(count), size)]


def _smoothed(found: Mapping[Level, float], bodies: Mapping[Level, Body]) -> dict[Level, float]:
    """A parabola through the levels: the spine does not jump. At most two that lie far off it are left out."""
    if len(found) < 4:
        return dict(found)
    levels = list(found)
    y = np.array([bodies[level].centre[0] for level in levels])
    x = np.array([found[level] for level in levels])
    y = (y - y.mean()) / (y.std() + 1e-9)
    best: tuple[float, NDArray[np.float64]] | None = None
    for out in _left_out(len(levels)):
        keep = np.setdiff1d(np.arange(len(levels)), out)
        fit = np.polyfit(y[keep], x[keep], 2)
        cost = float(np.abs(np.polyval(fit, y[keep]) - x[keep]).sum()) + OUTLIER_MM * len(out)
        if best is None or cost < best[0]:
            best = cost, fit
    assert best is not None, "leaving none out is always tried"
    fit = best[1]
    return {level: float(value) for level, value in zip(levels, np.polyval(fit, y), strict=True)}
