"""Real slices in the training: SPIDER sagittal T2 slices (van der Graaf 2024, CC BY 4.0) with partial answers.

The masks (vertebra with posterior elements 76, disc 29, spinal canal 150) lack the sacrum, do not tell CSF from roots
and have lost their spacing. So the size is taken from the distance between discs, posterior elements are background,
everything below the lowest vertebra is left open, and on T2 the bright part of the canal is CSF.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, gaussian_filter1d, label

from training.generator.labels import BACKGROUND, BODY, CANAL, CSF, DISC, SACRUM, Targets, bit
from training.generator.sample import PIXEL_MM, SIDE

_VERTEBRA, _DISC, _CANAL = 76, 29, 150
_USUAL_PITCH_MM = 35.0  # lumbar disc to disc
# Every seventh person is held back to watch the training; none of their slices is trained on.
_HELD_BACK_EVERY = 7

_Slice = tuple[NDArray[np.uint8], NDArray[np.uint8], float]


@dataclass(frozen=True, eq=False)
class SpiderSlices:
    slices: tuple[_Slice, ...]  # image, mask, distance between discs in pixels

    @classmethod
    def load(cls, folder: Path, held_back: bool) -> Self:
        """The slices of the people held back, or of all others; `folder` has images/ and masks/."""
        paths = sorted((folder / "images").glob("*.png"))
        people = sorted({path.name.split("_")[0] for path in paths})
        chosen = {one for n, one in enumerate(people) if (n % _HELD_BACK_EVERY == 0) == held_back}
        slices = []
        for path in paths:
            if path.name.split("_")[0] not in chosen:
                continue
            image = np.asarray(Image.open(path).convert("L"))
            mask = np.asarray(Image.open(folder / "masks" / path.name).convert("L"))
            pitch = _disc_pitch(mask)
            if pitch is not None:
                slices.append((image, mask, pitch))
        return cls(tuple(slices))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], Targets]:
        """A random slice at a random size, place, tilt and contrast: (224, 224) image and targets."""
        image, mask, pitch = self.slices[int(rng.integers(len(self.slices)))]
        zoom = rng.uniform(0.88, 1.12) * _USUAL_PITCH_MM / PIXEL_MM / pitch
        rows, columns = np.nonzero(mask)
        centre = np.array([columns.mean() + rng.normal(0, 60), rows.mean() + rng.normal(0, 50)])
        picture, answer = _resampled(image, mask, zoom, rng.uniform(-8, 8), centre)
        targets = targets_of(picture, answer)
        if rng.random() < 0.6:
            picture = _recoloured(rng, picture, answer)
        return picture, targets

    def plain(self, index: int) -> tuple[NDArray[np.float32], Targets]:
        """One slice at its usual size, upright and centred, for validation."""
        image, mask, pitch = self.slices[index]
        rows, columns = np.nonzero(mask)
        centre = np.array([columns.mean(), rows.mean()])
        picture, answer = _resampled(image, mask, _USUAL_PITCH_MM / PIXEL_MM / pitch, 0.0, centre)
        return picture, targets_of(picture, answer)


def _disc_pitch(mask: NDArray[np.uint8]) -> float | None:
    """Median distance between neighbouring discs in pixels, or None with fewer than four whole discs."""
    parts, count = label(mask == _DISC)
    sizes = np.bincount(parts.ravel())[1:]
    centres = [np.argwhere(parts == n + 1).mean(axis=0) for n in range(count) if sizes[n] > 0.3 * sizes.max()]
    if len(centres) < 4:
        return None
    ordered = np.array(sorted(centres, key=lambda c: float(c[0])))
    return float(np.median(np.linalg.norm(np.diff(ordered[-5:], axis=0), axis=1)))


def _resampled(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], zoom: float, degrees: float, centre: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image (smooth) and mask (nearest) on the network's grid around `centre` (x, y)."""
    angle = np.deg2rad(degrees)
    a, b = np.cos(angle) / zoom, np.sin(angle) / zoom
    middle = SIDE / 2
    matrix = (a, b, centre[0] - (a + b) * middle, -b, a, centre[1] - (a - b) * middle)
    soft = Image.fromarray(gaussian_filter(image.astype(np.float32), 0.35 / zoom))
    size, affine = (SIDE, SIDE), Image.Transform.AFFINE
    picture = np.asarray(soft.transform(size, affine, matrix, Image.Resampling.BILINEAR), dtype=np.float32)
    answer = np.asarray(Image.fromarray(mask).transform(size, affine, matrix, Image.Resampling.NEAREST))
    return np.maximum(picture, 0), answer


def targets_of(picture: NDArray[np.float32], answer: NDArray[np.uint8]) -> Targets:
    """What a SPIDER mask allows at each pixel of a resampled slice; both (224, 224)."""
    canal = answer == _CANAL
    column = np.arange(SIDE)
    has_canal = canal.any(axis=1)
    front = np.where(has_canal, canal.argmax(axis=1), SIDE)
    vertebra = answer == _VERTEBRA
    ahead = vertebra & (column[None] < front[:, None])
    targets = np.full(answer.shape, bit(BACKGROUND), dtype=np.uint8)
    targets[ahead] = bit(BODY)
    targets[ahead & ~binary_erosion(ahead)] = bit(BACKGROUND, BODY)  # the cortex, which we count as background
    targets[answer == _DISC] = bit(DISC)
    around = binary_dilation(canal, np.ones((3, 9), dtype=bool)) & (answer == 0)  # epidural fat is ours, not SPIDER's
    targets[around] = bit(BACKGROUND, CANAL)
    targets[canal] = bit(CANAL, CSF)
    if has_canal.any():
        bright = np.where(canal, picture, np.nan)
        top = np.full(SIDE, np.nan)
        top[has_canal] = np.nanpercentile(bright[has_canal], 90, axis=1)
        top = gaussian_filter1d(np.interp(column, column[has_canal], top[has_canal]), 8)
        share = picture / (top[:, None] + 1e-6)
        if picture[canal].mean() > 1.2 * picture[ahead].mean():  # T2: CSF is what shines
            targets[canal & (share > 0.85)] = bit(CSF)
            targets[canal & (share < 0.5)] = bit(CANAL)
    parts, count = label(ahead)
    if count:
        sizes = np.bincount(parts.ravel())
        large = [n for n in range(1, count + 1) if sizes[n] > 150]
        lowest = max((float(np.argwhere(parts == n)[:, 0].mean()) for n in large), default=0.0)
        below = (np.arange(SIDE) > lowest)[:, None] & (answer == 0)
        targets[below] = bit(BACKGROUND, SACRUM, DISC, CANAL, CSF)
    return targets


def _recoloured(
    rng: np.random.Generator, picture: NDArray[np.float32], answer: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """A T2 slice with the tissues' brightness moved towards T1: dark sac with brighter roots, bodies above discs."""
    top = float(np.percentile(picture[answer == _CANAL], 95)) if (answer == _CANAL).any() else float(picture.max())
    marrow = float(np.median(picture[answer == _VERTEBRA])) if (answer == _VERTEBRA).any() else 0.5 * top

    def soft(value: int) -> NDArray[np.float32]:
        return np.asarray(gaussian_filter((answer == value).astype(np.float32), 0.7))

    sac_level = marrow * rng.uniform(0.2, 0.7)
    sac = sac_level * (1 + rng.uniform(0.1, 1.3) * np.clip(1 - picture / (top + 1e-6), 0, 1))
    weight = soft(_CANAL)
    changed = picture * (1 - weight) + sac * weight
    changed = changed * (1 + soft(_VERTEBRA) * rng.uniform(-0.3, 1.2))
    changed = changed * (1 + soft(_DISC) * rng.uniform(-0.3, 0.8))
    return np.asarray(np.maximum(changed, 0), dtype=np.float32)
