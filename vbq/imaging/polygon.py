"""Outlines of any shape: which pixel centres they hold, the ellipse that fits them best, and the outline of a mask.

Vertices are (row, column) in pixels with pixel centres at integers; several rings count by the even-odd rule, so that
a ring within a ring is a hole.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse

Mask = npt.NDArray[np.bool_]
Point = tuple[float, float]
Ring = Sequence[Point]
MAX_VERTICES = 20_000
MAX_EXTENT_MM = 150.0
ON_EDGE = 0.05  # of a pixel


def outline_mask(
    rings: Sequence[Ring], rows: int, columns: int, pixel_spacing_mm: tuple[float, float]
) -> tuple[slice, slice, Mask]:
    """(rows, columns, mask): the bounding box as slices, and which of its pixel centres lie inside.

    Raises NotMeasurable where the outline is none, is beyond the image or larger than 150 mm, or holds no pixel.
    """
    if not rings or any(len(ring) < 3 for ring in rings) or sum(len(ring) for ring in rings) > MAX_VERTICES:
        raise NotMeasurable(f"an outline must have 3 to {MAX_VERTICES} points; draw it again", code="region-outline")
    points = np.array([point for ring in rings for point in ring], dtype=np.float64)
    (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
    if not np.isfinite(points).all() or top < -0.51 or left < -0.51 or bottom > rows - 0.49 or right > columns - 0.49:
        raise NotMeasurable(
            "a region reaches beyond the image; check which slice it was drawn on", code="region-outside"
        )
    if max((bottom - top) * pixel_spacing_mm[0], (right - left) * pixel_spacing_mm[1]) > MAX_EXTENT_MM:
        raise NotMeasurable(
            f"a region is larger than {MAX_EXTENT_MM:g} mm; check its unit and its level", code="region-size"
        )
    r0, r1 = max(math.ceil(top), 0), min(math.floor(bottom) + 1, rows)
    c0, c1 = max(math.ceil(left), 0), min(math.floor(right) + 1, columns)
    mask = _filled(rings, np.arange(r0, r1), np.arange(c0, c1)) if r1 > r0 and c1 > c0 else np.zeros((0, 0), np.bool_)
    if not mask.any():
        raise NotMeasurable("a region is smaller than a pixel; draw it larger", code="region-empty")
    return slice(r0, r1), slice(c0, c1), mask


def _filled(rings: Sequence[Ring], rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> Mask:
    """Even-odd filling row by row: a centre is inside where an odd number of edges lies to its left."""
    edges = np.concatenate([np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in map(_array, rings)])
    y0, x0, y1, x1 = edges.T
    mask = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    for index, row in enumerate(rows):
        crossing = (y0 <= row) != (y1 <= row)
        if crossing.any():
            share = (row - y0[crossing]) / (y1[crossing] - y0[crossing])
            at = np.sort(x0[crossing] + share * (x1[crossing] - x0[crossing]))
            mask[index] = np.searchsorted(at, columns, side="right") % 2 == 1
    return mask


def _array(ring: Ring) -> npt.NDArray[np.float64]:
    return np.asarray(ring, dtype=np.float64)


def ellipse_of_outline(
    rings: Sequence[Ring], rows: int, columns: int, pixel_spacing_mm: tuple[float, float]
) -> Ellipse:
    """The ellipse with the outline's centre and second moments, the outline kept with it. Raises NotMeasurable."""
    window_rows, window_columns, mask = outline_mask(rings, rows, columns, pixel_spacing_mm)
    r, c = np.nonzero(mask)
    centre = float(r.mean()) + window_rows.start, float(c.mean()) + window_columns.start
    y, x = (r - r.mean()) * pixel_spacing_mm[0], (c - c.mean()) * pixel_spacing_mm[1]
    row_share, column_share = (spacing * spacing / 12 for spacing in pixel_spacing_mm)  # of the pixels' own extent
    moments = np.array([[(x * x).mean() + column_share, (x * y).mean()], [(x * y).mean(), (y * y).mean() + row_share]])
    sizes, directions = np.linalg.eigh(moments)
    a, b = 2 * math.sqrt(sizes[1]), 2 * math.sqrt(sizes[0])
    angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
    return Ellipse(
        center=(round(centre[0], 3), round(centre[1], 3)),
        semi_axes_mm=(round(a, 3), round(b, 3)),
        angle_deg=round((angle + 90) % 180 - 90, 2),
        outline=[[(float(row), float(column)) for row, column in ring] for ring in rings],
    )


def ellipse_of_axes(center: Point, first: Point, second: Point, pixel_spacing_mm: tuple[float, float]) -> Ellipse:
    """The ellipse center + cos t first + sin t second, (row, column) in pixels, whose half-axes need not be square.

    On pixels that are not square, axes that are perpendicular in mm are not so in pixels; the singular value
    decomposition gives the true ones.
    """
    (row_1, column_1), (row_2, column_2) = first, second
    row_mm, column_mm = pixel_spacing_mm
    spanned = np.array([[column_1 * column_mm, column_2 * column_mm], [row_1 * row_mm, row_2 * row_mm]])
    directions, sizes, _ = np.linalg.svd(spanned)
    angle = math.degrees(math.atan2(directions[1, 0], directions[0, 0]))
    return Ellipse(
        center=(round(center[0], 4), round(center[1], 4)),
        semi_axes_mm=(round(float(sizes[0]), 4), round(float(sizes[1]), 4)),
        angle_deg=round((angle + 90) % 180 - 90, 3),
    )


def mask_outline(mask: Mask, row0: int = 0, column0: int = 0) -> list[list[Point]]:
    """Rings along the pixels' edges: filled again they hold exactly the pixels of `mask` (rows, columns)."""
    padded = np.pad(mask.astype(np.int8), 1)
    follows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    down = padded[1:, 1:-1] - padded[:-1, 1:-1]  # between a pixel and the one below
    for row, column in zip(*np.nonzero(down), strict=True):
        left, right = (int(row), int(column)), (int(row), int(column) + 1)
        start, end = (left, right) if down[row, column] > 0 else (right, left)
        follows.setdefault(start, []).append(end)
    across = padded[1:-1, 1:] - padded[1:-1, :-1]
    for row, column in zip(*np.nonzero(across), strict=True):
        upper, lower = (int(row), int(column)), (int(row) + 1, int(column))
        start, end = (lower, upper) if across[row, column] > 0 else (upper, lower)
        follows.setdefault(start, []).append(end)
    rings: list[list[Point]] = []
    while follows:
        start = at = next(iter(follows))
        ring: list[Point] = []
        while at in follows:
            ring.append((at[0] + row0 - 0.5, at[1] + column0 - 0.5))
            nexts = follows[at]
            following = nexts.pop()
            if not nexts:
                del follows[at]
            at = following
            if at == start and at not in follows:
                break
        rings.append(_corners(ring))
    return rings


def _corners(ring: list[Point]) -> list[Point]:
    """The ring without the points that lie on a straight line between their neighbours."""
    kept = []
    for index, point in enumerate(ring):
        before, after = ring[index - 1], ring[(index + 1) % len(ring)]
        straight = (point[0] - before[0]) * (after[1] - point[1]) == (point[1] - before[1]) * (after[0] - point[0])
        if not straight:
            kept.append(point)
    return kept


def with_edge_pixels(rings: Sequence[Ring]) -> list[list[Point]]:
    """The outline of the pixels inside `rings` and of those whose centres lie on them.

    For programs that draw contours through the centres of the outermost pixels of a mask.
    """
    points = np.array([point for ring in rings for point in ring], dtype=np.float64)
    if not np.isfinite(points).all() or float(np.ptp(points, axis=0).max()) > 4 * MAX_EXTENT_MM:
        raise NotMeasurable("a contour is too large; check its unit", code="region-size")
    r0, c0 = (math.floor(value) - 1 for value in points.min(axis=0))
    r1, c1 = (math.ceil(value) + 2 for value in points.max(axis=0))
    mask = _filled(rings, np.arange(r0, r1), np.arange(c0, c1))
    for ring in rings:
        for (row, column), (next_row, next_column) in zip(ring, [*ring[1:], ring[0]], strict=True):
            steps = 1 + 2 * math.ceil(max(abs(next_row - row), abs(next_column - column)))
            share = np.linspace(0.0, 1.0, steps)
            r, c = row + share * (next_row - row), column + share * (next_column - column)
            near = (np.abs(r - np.rint(r)) < ON_EDGE) & (np.abs(c - np.rint(c)) < ON_EDGE)
            mask[np.rint(r[near]).astype(int) - r0, np.rint(c[near]).astype(int) - c0] = True
    return mask_outline(mask, r0, c0)
