"""An image plane in the patient's space: where its pixels lie, and which of them a structure can touch.

Millimetres in DICOM's patient axes: x to the patient's left, y to the back, z to the head.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating[Any]]  # single precision at run time: half the memory, twice the speed
Numbers = NDArray[np.float64]
Vector = tuple[float, float, float]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows, columns
Area = tuple[slice, slice] | Pixels


def along(start: Vector, direction: Vector, distance_mm: float) -> Vector:
    """The point `distance_mm` from `start` in `direction`."""
    x, y, z = (p + d * distance_mm for p, d in zip(start, direction, strict=True))
    return x, y, z


def cross(a: Vector, b: Vector) -> Vector:
    """The vector product; of row and column direction it is the slice normal."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def dot(a: Vector, b: Vector) -> float:
    """The scalar product."""
    return sum(p * q for p, q in zip(a, b, strict=True))


@dataclass(frozen=True)
class Points:
    """Coordinates of the pixels of a window; each array broadcasts to the window's shape.

    A coordinate that is constant along an axis has length 1 there, which is what keeps untilted slices fast.
    """

    x: Image
    y: Image
    z: Image


@dataclass(frozen=True)
class Window:
    """Some pixels, a rectangle or a list of them, with the coordinates of their centres."""

    area: Area
    points: Points


@dataclass(frozen=True)
class Plane:
    """A grid of pixel centres: `row_direction` is the direction of increasing columns, as in DICOM."""

    origin_mm: Vector
    row_direction: Vector
    column_direction: Vector
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> Vector:
        """Row direction x column direction."""
        return cross(self.row_direction, self.column_direction)

    def shifted(self, distance_mm: float) -> "Plane":
        """The parallel plane `distance_mm` further along the normal."""
        origin = along(self.origin_mm, self.normal, distance_mm)
        return Plane(origin, self.row_direction, self.column_direction, self.spacing_mm, self.shape)

    def pixel_of(self, point: Vector) -> tuple[float, float]:
        """Row and column of the projection of `point`, in pixels."""
        offset = (point[0] - self.origin_mm[0], point[1] - self.origin_mm[1], point[2] - self.origin_mm[2])
        return dot(offset, self.column_direction) / self.spacing_mm[0], dot(
            offset, self.row_direction
        ) / self.spacing_mm[1]

    def position_of(self, row: float, column: float) -> Vector:
        """The point at the centre of pixel (row, column)."""
        down = along(self.origin_mm, self.column_direction, row * self.spacing_mm[0])
        return along(down, self.row_direction, column * self.spacing_mm[1])

    def whole(self) -> Window:
        """All pixels."""
        return self._window(0, self.shape[0], 0, self.shape[1])

    def around(self, centre: Vector, reach: Vector) -> Window | None:
        """The pixels that a box of half sides `reach` mm about `centre` can touch; None where it misses the image."""
        offset = (centre[0] - self.origin_mm[0], centre[1] - self.origin_mm[1], centre[2] - self.origin_mm[2])
        if abs(dot(offset, self.normal)) > _reach(self.normal, reach):
            return None
        row, column = self.pixel_of(centre)
        rows = _reach(self.column_direction, reach) / self.spacing_mm[0] + 2
        columns = _reach(self.row_direction, reach) / self.spacing_mm[1] + 2
        r0, r1 = max(0, int(row - rows)), min(self.shape[0], int(row + rows) + 2)
        c0, c1 = max(0, int(column - columns)), min(self.shape[1], int(column + columns) + 2)
        if r0 >= r1 or c0 >= c1:
            return None
        return self._window(r0, r1, c0, c1)

    def at(self, pixels: Pixels) -> Points:
        """The places of a list of rows and columns; a coordinate that is the same for all has length 1."""
        rows, columns = pixels
        down, right = rows.astype(np.float32), columns.astype(np.float32)
        x, y, z = (_coordinate(self, axis, down * self._step(0), right * self._step(1))[-1] for axis in range(3))
        return Points(x, y, z)

    def _step(self, axis: int) -> np.float32:
        return np.float32(self.spacing_mm[axis])

    def _window(self, r0: int, r1: int, c0: int, c1: int) -> Window:
        down = np.arange(r0, r1, dtype=np.float32)[:, None] * self._step(0)
        right = np.arange(c0, c1, dtype=np.float32)[None, :] * self._step(1)
        x, y, z = (_coordinate(self, axis, down, right) for axis in range(3))
        return Window((slice(r0, r1), slice(c0, c1)), Points(x, y, z))


def _reach(direction: Vector, reach: Vector) -> float:
    return sum(abs(d) * r for d, r in zip(direction, reach, strict=True))


def _coordinate(plane: Plane, axis: int, down: Image, right: Image) -> Image:
    value = np.full((1, 1), plane.origin_mm[axis], dtype=np.float32)
    if abs(plane.column_direction[axis]) > 1e-9:
        value = value + down * np.float32(plane.column_direction[axis])
    if abs(plane.row_direction[axis]) > 1e-9:
        value = value + right * np.float32(plane.row_direction[axis])
    return value
