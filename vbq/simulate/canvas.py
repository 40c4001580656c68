"""Painting: each structure covers what lies under it by the share of the pixel that it fills.

Coverage comes from a signed distance in mm (negative inside), which gives edges their partial volume without
supersampling in the plane.
"""

from dataclasses import dataclass

import numpy as np

from vbq.simulate.plane import Image, Plane, Window
from vbq.simulate.texture import Textures
from vbq.simulate.tissue import Contrast, Tissue


def coverage(distance_mm: Image, pixel_mm: float) -> Image:
    """The share of a pixel that is inside, from the signed distance of its centre to the edge."""
    share: Image = np.float32(0.5) - distance_mm * np.float32(1 / pixel_mm)
    np.clip(share, 0, 1, out=share)
    return share


def box(*sides: tuple[Image, float | Image], rounding: float = 0.0) -> Image:
    """Signed distance to a box about 0 with rounded edges; each side is (coordinate, half length)."""
    over = [np.abs(coordinate) - (half - np.float32(rounding)) for coordinate, half in sides]
    return rounded(*over, rounding=rounding)


def rounded(*over: Image, rounding: float) -> Image:
    """Join half spaces into one solid with rounded edges; each is how far a point lies beyond (side - rounding)."""
    outside = sum((np.square(np.maximum(side, 0)) for side in over[1:]), np.square(np.maximum(over[0], 0)))
    inside = over[0]
    for side in over[1:]:
        inside = np.maximum(inside, side)
    distance: Image = np.sqrt(outside) + np.minimum(inside, 0) - np.float32(rounding)
    return distance


def ellipsoid(*axes: tuple[Image, float | Image]) -> Image:
    """Signed distance (first order) to an ellipsoid about 0; each axis is (coordinate, half axis)."""
    square = sum((np.square(coordinate / half) for coordinate, half in axes[1:]), np.square(axes[0][0] / axes[0][1]))
    shortest = axes[0][1]
    for _, half in axes[1:]:
        shortest = np.minimum(shortest, half)
    distance: Image = (np.sqrt(square) - np.float32(1)) * shortest
    return distance.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Canvas:
    """An image being painted in one contrast."""

    plane: Plane
    contrast: Contrast
    textures: Textures
    image: Image

    @property
    def pixel_mm(self) -> float:
        """The width of an edge's partial volume."""
        return self.plane.spacing_mm[0]

    def lay(
        self, window: Window, distance_mm: Image, tissue: Tissue, *, share: float = 1.0, factor: float | Image = 1.0
    ) -> None:
        """Cover the inside of `distance_mm` with `tissue`; `share` below 1 lets what lies beneath shine through."""
        alpha = coverage(distance_mm, self.pixel_mm)
        if share != 1.0:
            alpha *= np.float32(share)
        if not alpha.any():
            return
        base = self.contrast[tissue]
        under = self.image[window.area]
        if base == 0.0:
            under *= np.float32(1) - alpha
        else:
            value = np.float32(base) * factor * self.textures.of(tissue, window.area)
            under += (value - under) * alpha
        self.image[window.area] = under  # a list of pixels was copied out
