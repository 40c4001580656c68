"""What an ellipse on a slice holds: the pixels whose centres lie inside it, found in its bounding box."""

import math

import numpy as np
import numpy.typing as npt

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse, Region
from vbq.imaging.polygon import outline_mask
from vbq.imaging.volume import Floats, Slice

MIN_SEMI_AXIS_MM = 0.1
MAX_SEMI_AXIS_MM = 60.0  # larger than any vertebral body: a unit error, or hostile


def pixels_of(ellipse: Ellipse, image: Slice) -> Floats:
    """Values (n,) of the pixels of `image` whose centres lie in `ellipse`.

    Raises NotMeasurable where the ellipse is no oval of plausible size, reaches beyond the image or holds no pixel.
    """
    rows, columns, mask = mask_of(ellipse, image.pixels.shape[0], image.pixels.shape[1], image.pixel_spacing_mm)
    return image.pixels[rows, columns][mask].astype(np.float64)


def mask_of(
    ellipse: Ellipse, rows: int, columns: int, pixel_spacing_mm: tuple[float, float]
) -> tuple[slice, slice, npt.NDArray[np.bool_]]:
    """(rows, columns, mask): the bounding box as slices, and which of its pixel centres lie in the ellipse.

    Where the region has an outline, in the outline.
    """
    if ellipse.outline is not None:
        return outline_mask(ellipse.outline, rows, columns, pixel_spacing_mm)
    a, b = ellipse.semi_axes_mm
    if min(a, b) < MIN_SEMI_AXIS_MM or max(a, b) > MAX_SEMI_AXIS_MM:
        raise NotMeasurable(
            f"a region's semi-axes must be {MIN_SEMI_AXIS_MM:g} to {MAX_SEMI_AXIS_MM:g} mm; check their unit",
            code="region-size",
        )
    angle = math.radians(ellipse.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    row, column = ellipse.center
    row_mm, column_mm = pixel_spacing_mm
    half_rows = math.hypot(a * sin, b * cos) / row_mm
    half_columns = math.hypot(a * cos, b * sin) / column_mm
    top, bottom, left, right = row - half_rows, row + half_rows, column - half_columns, column + half_columns
    if top < -0.5 or left < -0.5 or bottom > rows - 0.5 or right > columns - 0.5:
        raise NotMeasurable(
            "a region reaches beyond the image; check which slice it was drawn on", code="region-outside"
        )
    r0, r1 = math.ceil(top), math.floor(bottom) + 1
    c0, c1 = math.ceil(left), math.floor(right) + 1
    y = (np.arange(r0, r1) - row)[:, None] * row_mm
    x = (np.arange(c0, c1) - column)[None, :] * column_mm
    mask = ((x * cos + y * sin) / a) ** 2 + ((y * cos - x * sin) / b) ** 2 <= 1.0
    if not mask.any():
        raise NotMeasurable("a region is smaller than a pixel; draw it larger", code="region-empty")
    return slice(r0, r1), slice(c0, c1), mask


def region_of(ellipse: Ellipse, image: Slice) -> Region:
    """Statistics of one ellipse: mean and SD (n - 1) of the signal, area of its pixels in mm2."""
    values = pixels_of(ellipse, image)
    row_mm, column_mm = image.pixel_spacing_mm
    return Region(
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        area_mm2=float(values.size * row_mm * column_mm),
        pixels=int(values.size),
        ellipse=ellipse,
        sop_instance_uid=image.sop_instance_uid,
    )


def overlap(one: Ellipse, other: Ellipse, image: Slice) -> bool:
    """Whether two ellipses share a pixel centre of `image`."""
    spacing, shape = image.pixel_spacing_mm, image.pixels.shape
    rows, columns, mask = mask_of(one, shape[0], shape[1], spacing)
    rows_2, columns_2, mask_2 = mask_of(other, shape[0], shape[1], spacing)
    r0, r1 = max(rows.start, rows_2.start), min(rows.stop, rows_2.stop)
    c0, c1 = max(columns.start, columns_2.start), min(columns.stop, columns_2.stop)
    if r0 >= r1 or c0 >= c1:
        return False
    first = mask[r0 - rows.start : r1 - rows.start, c0 - columns.start : c1 - columns.start]
    second = mask_2[r0 - rows_2.start : r1 - rows_2.start, c0 - columns_2.start : c1 - columns_2.start]
    return bool((first & second).any())
