"""How bright each tissue is: contrasts of T1, T2, fat-suppressed and arbitrary sequences, texture and lesions."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.generator.anatomy import S1, Body, Spine
from training.generator.drawing import Maps, Tissue

Image2D = NDArray[np.float32]


class Contrast(StrEnum):
    T1 = "t1"
    T2 = "t2"
    FAT_SUPPRESSED = "fat-suppressed"
    ARBITRARY = "arbitrary"


CONTRAST_SHARES = {Contrast.T1: 0.62, Contrast.T2: 0.19, Contrast.FAT_SUPPRESSED: 0.1, Contrast.ARBITRARY: 0.09}

# Signal ranges relative to bright fat = 1; marrow (m) is drawn first, factors marked by a third entry "m" multiply it.
_Range = tuple[float, float]
_RANGES: dict[Contrast, dict[Tissue, _Range]] = {
    Contrast.T1: {
        Tissue.SUBCUTANEOUS: (0.7, 1.25), Tissue.SOFT: (0.1, 0.5), Tissue.MUSCLE: (0.14, 0.36),
        Tissue.RETROPERITONEAL_FAT: (0.5, 1.05), Tissue.BOWEL: (0.05, 0.6), Tissue.ORGAN: (0.15, 0.5),
        Tissue.FLUID: (0.03, 0.25), Tissue.VESSEL: (0.0, 0.3), Tissue.INTERSPINOUS: (0.15, 0.7),
        Tissue.CORTEX: (0.0, 0.12), Tissue.LIGAMENT: (0.03, 0.3), Tissue.EPIDURAL_FAT: (0.5, 1.1),
        Tissue.DURA: (0.03, 0.2), Tissue.SAC: (0.05, 0.3), Tissue.NERVE: (0.15, 0.4),
        Tissue.ANNULUS: (0.06, 0.32), Tissue.NUCLEUS: (0.12, 0.36), Tissue.SACRAL_DISC: (0.03, 0.3),
        Tissue.MARROW: (0.2, 0.85),
    },
    Contrast.T2: {
        Tissue.SUBCUTANEOUS: (0.4, 1.15), Tissue.SOFT: (0.05, 0.4), Tissue.MUSCLE: (0.06, 0.26),
        Tissue.RETROPERITONEAL_FAT: (0.3, 0.95), Tissue.BOWEL: (0.05, 0.9), Tissue.ORGAN: (0.1, 0.5),
        Tissue.FLUID: (0.6, 1.3), Tissue.VESSEL: (0.0, 0.25), Tissue.INTERSPINOUS: (0.1, 0.6),
        Tissue.CORTEX: (0.0, 0.1), Tissue.LIGAMENT: (0.02, 0.2), Tissue.EPIDURAL_FAT: (0.35, 0.95),
        Tissue.DURA: (0.02, 0.15), Tissue.SAC: (0.65, 1.3), Tissue.NERVE: (0.15, 0.5),
        Tissue.ANNULUS: (0.03, 0.2), Tissue.NUCLEUS: (0.1, 0.9), Tissue.SACRAL_DISC: (0.03, 0.5),
        Tissue.MARROW: (0.18, 0.65),
    },
    Contrast.FAT_SUPPRESSED: {
        Tissue.SUBCUTANEOUS: (0.02, 0.25), Tissue.SOFT: (0.1, 0.45), Tissue.MUSCLE: (0.12, 0.35),
        Tissue.RETROPERITONEAL_FAT: (0.02, 0.25), Tissue.BOWEL: (0.1, 0.9), Tissue.ORGAN: (0.2, 0.7),
        Tissue.FLUID: (0.7, 1.4), Tissue.VESSEL: (0.0, 0.5), Tissue.INTERSPINOUS: (0.05, 0.35),
        Tissue.CORTEX: (0.0, 0.08), Tissue.LIGAMENT: (0.02, 0.2), Tissue.EPIDURAL_FAT: (0.02, 0.25),
        Tissue.DURA: (0.02, 0.2), Tissue.SAC: (0.7, 1.3), Tissue.NERVE: (0.2, 0.6),
        Tissue.ANNULUS: (0.03, 0.2), Tissue.NUCLEUS: (0.1, 0.8), Tissue.SACRAL_DISC: (0.03, 0.5),
        Tissue.MARROW: (0.06, 0.3),
    },
}  # fmt: skip

_MARROW = (Tissue.MARROW, Tissue.SACRAL_MARROW)


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """One of the four families, most often T1."""
    names = list(CONTRAST_SHARES)
    return names[rng.choice(len(names), p=list(CONTRAST_SHARES.values()))]


def mean_signals(rng: np.random.Generator, contrast: Contrast) -> tuple[NDArray[np.float64], float]:
    """Mean signal of every tissue, indexed by Tissue, and the signal of pure nerve in the sac."""
    signal = np.zeros(len(Tissue))
    if contrast is Contrast.ARBITRARY:
        signal[:] = rng.uniform(0, 1, len(Tissue))
        signal[[Tissue.AIR, Tissue.VOID]] = rng.uniform(0, 0.05, 2)
        signal[Tissue.CORTEX] = rng.uniform(0, 0.15)
        while abs(signal[Tissue.MARROW] - signal[Tissue.ANNULUS]) < 0.1:
            signal[Tissue.ANNULUS] = rng.uniform(0, 1)
        signal[Tissue.NUCLEUS] = abs(signal[Tissue.ANNULUS] + rng.normal(0, 0.1))
        nerve = float(np.clip(signal[Tissue.SAC] * rng.choice([rng.uniform(0.4, 0.8), rng.uniform(1.25, 2.2)]), 0, 1.2))
    else:
        for tissue, (low, high) in _RANGES[contrast].items():
            signal[tissue] = rng.uniform(low, high)
        signal[[Tissue.AIR, Tissue.VOID]] = rng.uniform(0, 0.03), rng.uniform(0, 0.05)
        sac = signal[Tissue.SAC]
        if contrast is Contrast.T1:
            sac = min(sac, signal[Tissue.MARROW] * rng.uniform(0.35, 0.75))
            signal[Tissue.SAC] = sac
            nerve = float(min(sac * rng.uniform(1.2, 2.3), max(0.9 * signal[Tissue.MARROW], sac * 1.2)))
        else:
            nerve = float(sac * rng.uniform(0.2, 0.6))
    marrow = signal[Tissue.MARROW]
    signal[Tissue.SACRAL_MARROW] = marrow * rng.uniform(0.85, 1.2)
    signal[Tissue.POSTERIOR_MARROW] = marrow * rng.uniform(0.8, 1.25)
    return signal, nerve


def texture(rng: np.random.Generator, side: int, correlation_px: float, coarse: int = 2) -> Image2D:
    """Unit-variance smooth noise, made on a grid `coarse` times coarser."""
    small = gaussian_filter(
        rng.standard_normal((side // coarse, side // coarse), dtype=np.float32), correlation_px / coarse
    )
    small /= small.std() + 1e-6
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR))


def paint(
    rng: np.random.Generator, spine: Spine, maps: Maps, contrast: Contrast, pixel_mm: float
) -> tuple[Image2D, Image2D]:
    """The noise-free signal of the slice on the fine canvas, and the part of it that fat gives (chemical shift)."""
    signal, nerve = mean_signals(rng, contrast)
    spread = np.abs(rng.normal(0, 0.04, len(Tissue)))
    coarse_tissues = [Tissue.MUSCLE, Tissue.SOFT, Tissue.RETROPERITONEAL_FAT, Tissue.BOWEL, Tissue.ORGAN]
    spread[coarse_tissues] += rng.uniform(0.02, 0.14)
    spread[[Tissue.MARROW, Tissue.SACRAL_MARROW]] += rng.uniform(0, 0.06)
    spread[Tissue.SAC] = abs(rng.normal(0, 0.06)) * signal[Tissue.SAC]
    spread[[Tissue.AIR, Tissue.VOID, Tissue.CORTEX]] = 0.003
    side = maps.tissue.shape[0]
    grain = 0.6 * texture(rng, side, rng.uniform(1.5, 6), 4) + 0.7 * texture(rng, side, rng.uniform(0.8, 2.5))
    image = signal[maps.tissue].astype(np.float32) + spread[maps.tissue].astype(np.float32) * grain
    in_sac = maps.tissue == Tissue.SAC
    image += np.where(in_sac, maps.nervous * (nerve - signal[Tissue.SAC]), 0).astype(np.float32)
    if contrast is not Contrast.ARBITRARY and rng.random() < 0.25:  # flow void in front of the conus
        image = np.where(in_sac, image * (1 + 0.25 * np.minimum(texture(rng, side, 14, 4), 0)), image).astype(
            np.float32
        )
    grid = np.mgrid[0:side, 0:side].astype(np.float32)
    positions = (grid[::-1] + 0.5) * pixel_mm  # x, y
    for body in (*spine.bodies, *spine.sacral):
        _lesions(rng, body, image, maps, positions)
    for change in _modic_changes(rng, spine, contrast):
        _modic_band(rng, change, image, maps, positions)
    fatty = np.isin(
        maps.tissue,
        [
            Tissue.SUBCUTANEOUS, Tissue.RETROPERITONEAL_FAT, Tissue.EPIDURAL_FAT,
            Tissue.MARROW, Tissue.SACRAL_MARROW, Tissue.POSTERIOR_MARROW,
        ],
    )  # fmt: skip
    image = np.maximum(image, 0)
    return image, np.where(fatty, image, 0).astype(np.float32)


def _window(body: Body, side: int, pixel_mm: float, reach_mm: float) -> tuple[slice, slice] | None:
    """The canvas rows and columns around a body, or None where it lies outside."""
    half = np.hypot(body.height_mm, body.depth_mm) / 2 + reach_mm
    low = np.clip(((body.centre - half) / pixel_mm).astype(int), 0, side)
    high = np.clip(((body.centre + half) / pixel_mm).astype(int) + 1, 0, side)
    if (high - low).min() < 3:
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _lesions(rng: np.random.Generator, body: Body, image: Image2D, maps: Maps, positions: Image2D) -> None:
    """Per-body brightness, basivertebral vein, haemangiomas, spots and red-marrow islands, drawn in place."""
    pixel_mm = float(positions[0, 0, 1] - positions[0, 0, 0])
    window = _window(body, image.shape[0], pixel_mm, 0.0)
    if window is None:
        return
    mine = 1 + body.level if body.level >= S1 else 100 - body.level
    inside = (maps.owner[window] == mine) & np.isin(maps.tissue[window], _MARROW)
    if not inside.any():
        return
    patch = image[window]
    x, y = positions[0][window] - body.centre[0], positions[1][window] - body.centre[1]
    back, up = x * body.posterior[0] + y * body.posterior[1], x * body.up[0] + y * body.up[1]
    patch[inside] *= 1 + float(np.clip(rng.normal(0, 0.07), -0.2, 0.2))
    if body.level > S1 and rng.random() < 0.75:
        at, length, width = rng.uniform(0.2, 0.5) * body.depth_mm, rng.uniform(2, 9), rng.uniform(0.7, 2.6)
        weight = np.exp(-(((back - at) / length) ** 2) - ((up - rng.normal(0, 1)) / width) ** 2)
        level = rng.choice([rng.uniform(0, 0.6), rng.uniform(0.8, 1.7)], p=[0.65, 0.35])
        patch[inside] *= (1 + weight * (level - 1))[inside]
    for _ in range(rng.poisson(0.5)):
        spot = rng.uniform(-0.5, 0.5, 2) * [body.depth_mm, body.height_mm]
        radius = rng.uniform(1.5, 9)
        weight = np.exp(-((back - spot[0]) ** 2 + (up - spot[1]) ** 2) / radius**2)
        if rng.random() < 0.3:  # trabeculae of a haemangioma
            weight = weight * (0.7 + 0.3 * np.sin(back * 2 * np.pi / rng.uniform(2, 4)))
        patch[inside] *= np.maximum(1 + weight * rng.uniform(-0.65, 1.0), 0)[inside]
    if rng.random() < 0.03:  # a body replaced or sclerotic
        patch[inside] *= rng.uniform(0.25, 0.7)


def _modic_changes(rng: np.random.Generator, spine: Spine, contrast: Contrast) -> list[tuple[Body, int, float]]:
    """Which endplates show a Modic change: the body, its end (+1 upper) and the relative change of signal."""
    changes: list[tuple[Body, int, float]] = []
    for one in spine.discs:
        if not one.degenerated or rng.random() < 0.65:
            continue
        kind = rng.choice([1, 2, 3])
        bright = kind == 2 if contrast is Contrast.T1 else kind == 1 or (kind == 2 and contrast is Contrast.T2)
        change = rng.uniform(0.15, 0.7) if bright else -rng.uniform(0.2, 0.6)
        changes += [(body, end, change) for body, end in ((one.lower, 1), (one.upper, -1)) if rng.random() < 0.75]
    return changes


def _modic_band(
    rng: np.random.Generator, change: tuple[Body, int, float], image: Image2D, maps: Maps, positions: Image2D
) -> None:
    """One Modic change: a band of marrow along an endplate, drawn in place."""
    body, end, strength = change
    window = _window(body, image.shape[0], float(positions[0, 0, 1] - positions[0, 0, 0]), 0.0)
    if window is None:
        return
    inside = (maps.owner[window] == 1 + body.level) & np.isin(maps.tissue[window], _MARROW)
    x, y = positions[0][window] - body.centre[0], positions[1][window] - body.centre[1]
    towards_disc = (x * body.up[0] + y * body.up[1]) * end / (body.height_mm / 2)
    along = (x * body.posterior[0] + y * body.posterior[1]) / (body.depth_mm / 2)
    spot = np.exp(-(((along - rng.uniform(-1, 1)) / rng.uniform(0.5, 2.5)) ** 2))
    weight = np.clip((towards_disc - rng.uniform(0.1, 0.75)) / rng.uniform(0.1, 0.3), 0, 1) * spot
    image[window][inside] *= (1 + strength * weight)[inside]
