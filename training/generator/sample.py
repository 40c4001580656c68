"""One training example from one seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.generator import acquisition
from training.generator.anatomy import L1, L5, S1, Spine, draw_spine
from training.generator.drawing import Maps, Tissue, draw_maps
from training.generator.labels import BACKGROUND, BODY, CANAL, CSF, DISC, SACRUM, Targets, as_targets, bit
from training.generator.tissue import Contrast, draw_contrast, paint

PIXEL_MM = 1.2  # of the network's input
SIDE = 224  # pixels: 269 mm
_FINE = 2  # canvas pixels per output pixel; _binned knows
_CSF_MAX_NERVE = 0.3  # a pixel with more root than this is not called CSF


@dataclass(frozen=True, eq=False)
class Sample:
    image: NDArray[np.float32]  # (224, 224), arbitrary scale, no negative values
    targets: Targets  # (224, 224), see labels
    contrast: Contrast


def _binned(values: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean over the 2 x 2 fine pixels of each output pixel."""
    fine = values.astype(np.float32)
    rows = fine[::2] + fine[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, dtype=np.float32)


def _targets(spine: Spine, maps: Maps, void: NDArray[np.bool_], shift: tuple[int, int]) -> Targets:
    """Classes by the largest share of each output pixel, with the uncertain places opened up.

    A body is its marrow as it appears, moved by the chemical shift: what a reader outlines and a region of interest
    may hold. Cortex and endplates are background.
    """
    lowest = S1 if spine.transition.s1_is_free else L5
    above = (maps.owner >= 1 + lowest) & (maps.owner < 100)
    below = (maps.owner > 0) & ~above
    node = above & (maps.tissue == Tissue.ANNULUS)
    shown = (maps.tissue != Tissue.CORTEX) & ~node
    body = np.roll(above & shown, shift, axis=(0, 1))
    sacrum = np.roll(below & shown, shift, axis=(0, 1)) & ~body
    bone = body | sacrum | above | below
    share = np.zeros((CSF + 1, SIDE, SIDE), dtype=np.float32)
    share[BODY], share[SACRUM] = _binned(body), _binned(sacrum)
    share[DISC] = _binned(((maps.disc & ~above & ~below) | node) & ~body & ~sacrum)
    canal = maps.canal & ~maps.disc & ~bone
    share[CANAL] = _binned(canal)
    share[BACKGROUND] = 1 - share.sum(axis=0)
    labels = share.argmax(axis=0)
    pure = _binned(np.where((maps.tissue == Tissue.SAC) & canal, 1 - maps.nervous, 0))
    labels[(labels == CANAL) & (pure > 1 - _CSF_MAX_NERVE)] = CSF
    targets = as_targets(labels)
    mixed = (
        (labels == CANAL) & (np.abs(pure - (1 - _CSF_MAX_NERVE)) < 0.12) & (_binned(maps.tissue == Tissue.SAC) > 0.9)
    )
    targets[mixed] |= bit(CANAL, CSF)
    if spine.transition.doubtful and spine.transition.kind == "sacralised":
        targets[_binned(maps.owner == 1 + L5) > 0.5] |= bit(BODY, SACRUM)
    if spine.transition.doubtful and spine.transition.kind == "lumbarised":
        targets[_binned(maps.owner == 1 + S1) > 0.5] |= bit(BODY, SACRUM)
        targets[_binned(maps.tissue == Tissue.SACRAL_DISC) > 0.3] |= bit(SACRUM, DISC)
    targets[_binned(void) > 0.5] |= bit(BACKGROUND)
    return targets


def draw_sample(seed: int) -> Sample:
    """The slice that belongs to a seed; the same seed gives the same slice."""
    rng = np.random.default_rng(seed)
    size = SIDE * PIXEL_MM
    low_view = rng.random() < 0.12  # S1 below the field of view
    start = np.array([rng.uniform(70, 190), rng.uniform(size + 5, size + 55) if low_view else rng.uniform(130, 245)])
    spine = draw_spine(rng, start)
    fine_mm = PIXEL_MM / _FINE
    maps = draw_maps(rng, spine, SIDE * _FINE, fine_mm)
    contrast = draw_contrast(rng)
    image, fat = paint(rng, spine, maps, contrast, fine_mm)
    shift = acquisition.draw_shift(rng, fine_mm)
    image = acquisition.chemical_shift(rng, image, fat, shift)
    front_x = float(np.mean([one.centre[0] - one.depth_mm / 2 for one in spine.bodies[L5 : L1 + 1]]))
    image = acquisition.saturation_band(rng, image, front_x, fine_mm)
    image = acquisition.blur(rng, image, fine_mm)
    void = np.zeros(image.shape, dtype=bool)
    if rng.random() < 0.04:
        centres = np.stack([one.to_slice(np.array([one.depth_mm * 0.5, 0])) for one in spine.bodies[S1 : L1 + 1]])
        gain, void = acquisition.metal(rng, len(image), fine_mm, centres)
        image = image * gain
    image = image * acquisition.coil_gain(rng, len(image), fine_mm, maps.skin_x_mm)
    small = acquisition.noise(rng, _binned(image))
    targets = _targets(spine, maps, void, shift)
    if rng.random() < 0.12:  # the field of view ends inside the array
        edge = int(rng.integers(4, 40))
        turns = int(rng.integers(4))  # which of the four sides
        np.rot90(small, turns)[:edge] = 0
        np.rot90(targets, turns)[:edge] = bit(BACKGROUND)
    return Sample(small, targets, contrast)
