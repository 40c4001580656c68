"""The slices of a series in order, and which of them is mid-sagittal.

The mid-sagittal plane is the one about which the back mirrors itself: slices at equal distances to its left and right
look alike. It needs no segmentation and works on any contrast.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.measurement import Reason
from vbq.imaging.volume import Floats, Pixels, Series, Slice, normal_of

SAME_POSITION_MM = 0.1
SAME_SPACING = 1e-3  # as a share
COARSE_PIXEL_MM = 2.0
NEIGHBOURHOOD_PIXELS = 15
# Either side of the plane: canal, laminae, facets. Farther out the trunk mirrors, which scoliosis moves off the spine.
NEAREST_PAIR_MM, FARTHEST_PAIR_MM = 3.0, 16.0
CENTRE_PRIOR_PER_MM = 0.002
MINIMUM_SLICES = 5
UNCERTAIN_MARGIN = 0.02


@dataclass(frozen=True)
class OrderedSlices:
    """Slices by position along row direction x column direction, one per position, and what was odd about them."""

    slices: tuple[Slice, ...]
    flags: tuple[Reason, ...]

    def index_of(self, sop_instance_uid: str) -> int | None:
        """Where a slice stands, None where it is not there."""
        return next((i for i, one in enumerate(self.slices) if one.sop_instance_uid == sop_instance_uid), None)


@dataclass(frozen=True)
class MidSagittal:
    """The slice nearest to the plane of symmetry, the next best, and every slice's score (higher is nearer)."""

    index: int
    runner_up: int | None
    scores: tuple[float, ...]
    flags: tuple[Reason, ...] = ()


def order_slices(series: Series, *, keep: str | None = None) -> OrderedSlices:
    """Sort by position, leave out slices of another orientation or size, keep one slice per position.

    Among slices at one position the one called `keep` stays, else the lowest instance number.
    """
    flags: list[Reason] = []
    usual, _ = Counter(_size(one) for one in series.slices).most_common(1)[0]
    wanted = next((one for one in series.slices if one.sop_instance_uid == keep), None)
    model = wanted or next(one for one in series.slices if _size(one) == usual)
    normal = normal_of(model.orientation)
    alike = [one for one in series.slices if _alike(one, model)]
    if len(alike) < len(series.slices):
        text = f"{len(series.slices) - len(alike)} slices of another orientation or size were left out"
        flags.append(Reason(code="odd-slices", text=text))
    along = {id(one): float(normal @ np.asarray(one.position_mm)) for one in alike}
    alike.sort(key=lambda one: (along[id(one)], one.sop_instance_uid != keep, one.instance_number or 0))
    ordered: list[Slice] = []
    for one in alike:
        if not ordered or along[id(one)] - along[id(ordered[-1])] > SAME_POSITION_MM:
            ordered.append(one)
        elif one.sop_instance_uid == keep:
            ordered[-1] = one
    if len(ordered) < len(alike):
        text = f"{len(alike) - len(ordered)} slices lie where another one lies; one of each position was used"
        flags.append(Reason(code="duplicate-positions", text=text))
    gaps = np.diff([along[id(one)] for one in ordered])
    if len(gaps) > 1 and float(gaps.max()) > 1.5 * float(np.median(gaps)):
        flags.append(Reason(code="missing-slices", text="the distances between slices differ: some slices are missing"))
    return OrderedSlices(tuple(ordered), tuple(flags))


def _alike(one: Slice, model: Slice) -> bool:
    same_plane = float(normal_of(one.orientation) @ normal_of(model.orientation)) > 0.9998  # about a degree
    pairs = zip(one.pixel_spacing_mm, model.pixel_spacing_mm, strict=True)
    # A scanner may write the last digit anew for each slice.
    return (
        same_plane and one.pixels.shape == model.pixels.shape and all(abs(a - b) <= SAME_SPACING * b for a, b in pairs)
    )


def _size(one: Slice) -> tuple[tuple[int, ...], tuple[float, float]]:
    rows, columns = one.pixel_spacing_mm
    return one.pixels.shape, (round(rows, 2), round(columns, 2))


def mid_sagittal(slices: Sequence[Slice]) -> MidSagittal:
    """The mid-sagittal slice of ordered slices (at least one)."""
    count = len(slices)
    if count < MINIMUM_SLICES:
        text = f"{count} slices are too few to find the plane of symmetry; the middle one was taken"
        middle = count // 2
        distances = tuple(-abs(index - (count - 1) / 2) for index in range(count))
        runner_up = (middle - 1 if middle > 0 else None) if count > 1 else None
        return MidSagittal(middle, runner_up, distances, (Reason(code="few-slices", text=text),))
    scores = _symmetry(slices)
    ranked = sorted(range(count), key=lambda index: -scores[index])
    best, second = ranked[0], ranked[1]
    rival = next((index for index in ranked if abs(index - best) > 1), None)
    flags: tuple[Reason, ...] = ()
    if rival is not None and scores[best] - scores[rival] < UNCERTAIN_MARGIN:
        text = "two slices that are not neighbours look equally mid-sagittal; look at both"
        flags = (Reason(code="slice-uncertain", text=text),)
    return MidSagittal(best, second, tuple(float(value) for value in scores), flags)


def _symmetry(slices: Sequence[Slice]) -> Floats:
    """How well the stack mirrors about each slice, less what slices that far apart have in common anyway."""
    along = np.array([one.along_normal_mm for one in slices])
    details = np.stack([_detail(one.pixels, one.pixel_spacing_mm).ravel() for one in slices])
    details /= np.linalg.norm(details, axis=1, keepdims=True) + 1e-12
    likeness = details @ details.T
    count = len(slices)
    step = float(np.median(np.diff(along)))
    excess = np.zeros((count, count))
    for apart in range(1, count):
        pairs = np.diagonal(likeness, apart)
        excess[np.arange(count - apart), np.arange(apart, count)] = pairs - pairs.mean()
    about = np.full(2 * count - 1, np.nan)  # about[c]: mirrored about the middle between slices i and j, i + j = c
    for centre in range(2 * count - 1):
        pairs_at = [
            excess[i, centre - i]
            for i in range(max(0, centre - count + 1), (centre + 1) // 2)
            if NEAREST_PAIR_MM <= (centre - 2 * i) * step / 2 <= FARTHEST_PAIR_MM
        ]
        if len(pairs_at) >= 2:
            about[centre] = float(np.mean(pairs_at))
    floor = float(np.nanmin(about)) if np.isfinite(about).any() else 0.0
    filled = np.where(np.isfinite(about), about, floor)
    padded = np.pad(filled, 1, mode="edge")
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    off_centre = np.abs(along - (along[0] + along[-1]) / 2)
    return np.asarray(smooth[::2] - CENTRE_PRIOR_PER_MM * off_centre, dtype=np.float64)


def _detail(pixels: Pixels, pixel_spacing_mm: tuple[float, float]) -> Floats:
    """Structure at about 2 mm, free of coil falloff: log signal less its neighbourhood, at unit local contrast."""
    rows, columns = (max(1, round(COARSE_PIXEL_MM / spacing)) for spacing in pixel_spacing_mm)
    height, width = pixels.shape[0] // rows * rows, pixels.shape[1] // columns * columns
    cut = pixels[:height, :width].astype(np.float64)
    coarse = np.maximum(cut.reshape(height // rows, rows, width // columns, columns).mean(axis=(1, 3)), 0.0)
    floor = 0.05 * float(np.percentile(coarse, 99)) + 1e-9
    detail = np.log(coarse + floor)
    detail -= _local_mean(detail)
    even = detail / (np.sqrt(np.maximum(_local_mean(detail * detail), 0.0)) + 0.05)
    # L1 to L4 lie in the middle of the field of view; where the spine curves sideways, the ends mirror elsewhere.
    return np.asarray(even * np.hanning(even.shape[0] + 2)[1:-1, None], dtype=np.float64)


def _local_mean(values: Floats) -> Floats:
    """Mean over a square neighbourhood by running sums, edges repeated."""
    half = NEIGHBOURHOOD_PIXELS // 2
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (half + 1, half)
        sums = np.cumsum(np.pad(values, width, mode="edge"), axis=axis)
        size = 2 * half + 1
        upper = sums.take(range(size, sums.shape[axis]), axis=axis)
        lower = sums.take(range(sums.shape[axis] - size), axis=axis)
        values = (upper - lower) / size
    return values
