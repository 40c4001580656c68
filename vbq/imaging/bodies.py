"""Vertebral bodies in the network's map: where each lies, how it is turned, how high it is.

Places are (y, x) in mm from the upper left corner of a sagittal view (y to the feet, x to the back).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening, find_objects, label, map_coordinates

from vbq.imaging.endplates import Endplate, Point, endplate, in_view
from vbq.imaging.network import VERTEBRAL_BODY

SMALLEST_BODY_MM2 = 130.0
HALF_FRAME_MM = 30
MARGIN = 6  # pixels about a piece, for what belongs to it beyond its edge
MERGED_RATIO = 1.65  # of the usual area: two bodies that the network did not part

TURNED_OFF_DEG = 30.0  # from square to the column; real and drawn bodies lie within 20

Probabilities = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Body:
    """One vertebral body. `angle_rad` turns the direction to the back from +x towards +y."""

    centre: Point
    angle_rad: float
    depth_mm: float
    height_mm: float
    """Mean over the middle four fifths of the depth, marrow only."""
    heights_mm: tuple[float, float, float]
    """Anterior, middle, posterior."""
    area_mm2: float
    sureness: float
    """Mean probability of "vertebral body" within it."""
    upper_plate: Endplate
    lower_plate: Endplate
    cut: bool
    """Reaches the edge of the image."""

    def place(self, back_mm: float, down_mm: float) -> Point:
        """The point that far behind and below the centre, in the body's own frame."""
        return in_view(self.centre, self.angle_rad, down_mm, back_mm)

    @property
    def posterior_wall(self) -> Point:
        """The middle of the back wall."""
        return self.place(0.5 * self.depth_mm, 0.0)


def find_bodies(probabilities: Probabilities, pixel_mm: tuple[float, float]) -> list[Body]:
    """The bodies of a map (6, rows, columns), from head to foot. Bodies behind or ahead of the column are left out."""
    mask = probabilities.argmax(axis=0) == VERTEBRAL_BODY
    parts, count = label(binary_opening(mask, iterations=2))
    area = pixel_mm[0] * pixel_mm[1]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:] * area
    found = []
    for number, box in enumerate(find_objects(parts, count), start=1):
        if sizes[number - 1] >= SMALLEST_BODY_MM2:
            wide = tuple(
                slice(max(0, one.start - MARGIN), min(size, one.stop + MARGIN))
                for one, size in zip(box, mask.shape, strict=True)
            )
            cut = box[0].start <= 2 or box[0].stop >= mask.shape[0] - 2
            corner = wide[0].start * pixel_mm[0], wide[1].start * pixel_mm[1]
            piece = _Piece(probabilities[VERTEBRAL_BODY][wide], parts[wide] == number, pixel_mm, corner, cut)
            found.append((_body(piece, _first_angle(piece)), piece))
    found.sort(key=lambda one: one[0].centre[0])
    pieces = {id(body): piece for body, piece in found}
    column = _in_column([body for body, _ in found])
    return [
        body if abs(body.angle_rad - square) < math.radians(TURNED_OFF_DEG) else _body(pieces[id(body)], square)
        for body, square in zip(column, _square_angles(column), strict=True)
    ]


@dataclass(frozen=True)
class _Piece:
    """A part of the map with one body in it, its upper left corner at `corner`."""

    probability: NDArray[np.float32]
    mask: Mask
    pixel_mm: tuple[float, float]
    corner: Point
    cut: bool


def _body(piece: _Piece, angle: float) -> Body:
    """The body that is `piece`, its axis sought from `angle` on."""
    own = binary_dilation(piece.mask, iterations=3)
    rows, columns = np.nonzero(piece.mask)
    pixel_mm = piece.pixel_mm
    centre = ((rows.mean() + 0.5) * pixel_mm[0], (columns.mean() + 0.5) * pixel_mm[1])
    share = np.where(own, piece.probability, 0).astype(np.float32)
    frame = np.zeros((1, 1))
    for _ in range(3):
        frame = _framed(share, centre, angle, pixel_mm)
        centre, angle, settled = _refined(frame, centre, angle)
        if settled:
            break
    frame = _framed(share, centre, angle, pixel_mm)
    heights = frame.sum(axis=0)
    inside = np.flatnonzero(heights > 0.5 * np.percentile(heights, 90))
    first, last = int(inside[0]), int(inside[-1])
    depth = float(last - first + 1)
    middle = (first + last) / 2
    triple = tuple(_mean_between(heights, middle + at * depth, 0.08 * depth) for at in (-0.36, 0.0, 0.36))
    height = _mean_between(heights, middle, 0.4 * depth)
    centre = (centre[0] + piece.corner[0], centre[1] + piece.corner[1])
    upper, lower = (_plate(frame, end, depth, height).in_view(centre, angle) for end in (-1, 1))
    return Body(
        centre=centre,
        angle_rad=angle,
        depth_mm=depth,
        height_mm=height,
        heights_mm=(triple[0], triple[1], triple[2]),
        area_mm2=float(frame.sum()),
        sureness=float(piece.probability[piece.mask].mean()),
        upper_plate=upper,
        lower_plate=lower,
        cut=piece.cut,
    )


def _plate(frame: NDArray[np.float64], end: int, depth: float, height: float) -> Endplate:
    """The plate at one end in the body's own frame; a rectangle's where the body is too small to show one."""
    flat = Endplate((end * height / 2, -depth / 2), (end * height / 2, depth / 2))
    return endplate(frame > 0.5, end) or flat


def _square_angles(column: list[Body]) -> list[float]:
    """For each body the angle that is square to the column there: from the centre above to the one below."""
    centres = [body.centre for body in column]
    ends = [(centres[max(0, k - 1)], centres[min(len(centres) - 1, k + 1)]) for k in range(len(centres))]
    return [-math.atan2(low[1] - high[1], low[0] - high[0]) if low != high else 0.0 for high, low in ends]


def _first_angle(piece: _Piece) -> float:
    """The long axis of the piece where it has one near the horizontal, else level."""
    rows, columns = np.nonzero(piece.mask)
    pixel_mm = piece.pixel_mm
    moments = np.cov(np.stack([columns * pixel_mm[1], rows * pixel_mm[0]]))
    _, directions = np.linalg.eigh(moments)
    along = directions[:, 1]
    angle = math.atan2(along[1], along[0])
    angle = (angle + math.pi / 2) % math.pi - math.pi / 2
    return angle if abs(angle) < math.radians(50) else 0.0


def _framed(
    share: NDArray[np.float32], centre: Point, angle: float, pixel_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """The body in its own frame, 1 mm: rows down, columns to the back."""
    reach = np.arange(-HALF_FRAME_MM, HALF_FRAME_MM + 1)
    down, back = np.meshgrid(reach, reach, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    rows = (centre[0] + back * sin + down * cos) / pixel_mm[0] - 0.5
    columns = (centre[1] + back * cos - down * sin) / pixel_mm[1] - 0.5
    sampled = map_coordinates(share, [rows, columns], order=1, mode="constant")
    return np.asarray(sampled, dtype=np.float64)


def _refined(frame: NDArray[np.float64], centre: Point, angle: float) -> tuple[Point, float, bool]:
    """Centre in the middle of the outline, angle between the two endplates' slopes."""
    heights = frame.sum(axis=0)
    columns = np.flatnonzero(heights > 0.6 * np.percentile(heights, 90))
    trim = len(columns) // 8
    columns = columns[trim : len(columns) - trim]
    if len(columns) < 6:
        return centre, angle, True
    down = np.arange(-HALF_FRAME_MM, HALF_FRAME_MM + 1)
    middles = (frame[:, columns] * down[:, None]).sum(axis=0) / heights[columns]
    back = columns - HALF_FRAME_MM
    slope, _ = np.polyfit(back, middles, 1)
    turn = math.atan(float(slope))
    move_back, move_down = float(back.mean()), float(np.median(middles))
    cos, sin = math.cos(angle), math.sin(angle)
    moved = (
        centre[0] + move_back * sin + move_down * cos,
        centre[1] + move_back * cos - move_down * sin,
    )
    settled = abs(turn) < 0.01 and abs(move_back) < 0.5 and abs(move_down) < 0.5
    return moved, angle + turn, settled


def _mean_between(heights: NDArray[np.float64], middle: float, half: float) -> float:
    first, last = round(middle - half), round(middle + half)
    return float(heights[max(first, 0) : last + 1].mean())


def _in_column(bodies: list[Body]) -> list[Body]:
    """Drop what lies beside the column: each body must follow the one above or below within a body's depth."""
    kept = list(bodies)
    while len(kept) > 2:
        sideways = []
        for index, body in enumerate(kept):
            near = [*kept[max(0, index - 2) : index], *kept[index + 1 : index + 3]]
            sideways.append(min(abs(body.centre[1] - other.centre[1]) for other in near))
        worst = int(np.argmax(sideways))
        if sideways[worst] < kept[worst].depth_mm:
            break
        del kept[worst]
    return kept
