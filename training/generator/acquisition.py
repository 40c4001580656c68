"""What the scanner does to the signal: chemical shift, blur, coil falloff, saturation band, noise, and cropping."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from training.generator.tissue import Image2D


def draw_shift(rng: np.random.Generator, pixel_mm: float) -> tuple[int, int]:
    """By how many rows or columns fat appears moved: up to 2.5 mm along one axis; one slice in three shows none."""
    if rng.random() < 0.35:
        return 0, 0
    pixels = round(rng.uniform(-2.5, 2.5) / pixel_mm)
    return (pixels, 0) if rng.random() < 0.6 else (0, pixels)


def chemical_shift(rng: np.random.Generator, image: Image2D, fat: Image2D, shift: tuple[int, int]) -> Image2D:
    """The signal with the part that fat gives moved by `shift` (rows, columns)."""
    if shift == (0, 0):
        return image
    weight = rng.uniform(0.7, 1.0)
    moved = image - weight * fat + weight * np.roll(fat, shift, axis=(0, 1))
    return np.asarray(np.minimum(moved, 1.6), dtype=np.float32)


def coil_gain(rng: np.random.Generator, side: int, pixel_mm: float, skin_x_mm: NDArray[np.float64]) -> Image2D:
    """Sensitivity of a posterior surface coil with smooth irregularities; sometimes flat (body coil or corrected)."""
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) * pixel_mm
    gain = np.ones((side, side), dtype=np.float32)
    if rng.random() < 0.8:
        depth = np.maximum(skin_x_mm[:, None].astype(np.float32) - x, 0)
        gain = np.exp(-depth / rng.uniform(30, 250)) + rng.uniform(0, 0.2)
        centre, reach = rng.uniform(0.2, 0.8) * side * pixel_mm, rng.uniform(60, 250)
        gain *= np.exp(-(((y - centre) / reach) ** 2) * rng.uniform(0, 1.2)) + 0.02
    rough = rng.normal(0, rng.uniform(0.02, 0.35), (4, 4)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC))
    return np.asarray(gain * np.exp(smooth), dtype=np.float32)


def saturation_band(rng: np.random.Generator, image: Image2D, front_x_mm: float, pixel_mm: float) -> Image2D:
    """A presaturation slab in front of the spine, as most lumbar protocols have one; drawn in a third of the slices."""
    if rng.random() < 0.65:
        return image
    side = image.shape[0]
    x = (np.arange(side) + 0.5) * pixel_mm
    edge = front_x_mm - rng.uniform(3, 45) + np.linspace(-1, 1, side)[:, None] * rng.uniform(-15, 15)
    inside = 1 / (1 + np.exp((x[None] - edge) / rng.uniform(0.5, 4)))
    return (image * (1 - inside * rng.uniform(0.5, 0.97))).astype(np.float32)


def metal(
    rng: np.random.Generator, side: int, pixel_mm: float, centres: NDArray[np.float64]
) -> tuple[Image2D, NDArray[np.bool_]]:
    """Gain and mask of susceptibility voids around implants at one or more of the centres (x, y; mm)."""
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) * pixel_mm
    gain = np.ones((side, side), dtype=np.float32)
    mask = np.zeros((side, side), dtype=bool)
    for _ in range(rng.integers(1, 4)):
        at = centres[rng.integers(len(centres))] + rng.normal(0, 6, 2)
        radii = rng.uniform(3, 13), rng.uniform(3, 10)
        r = np.hypot((x - at[0]) / radii[0], (y - at[1]) / radii[1]) + 0.15 * np.sin(
            np.arctan2(y - at[1], x - at[0]) * 3
        )
        gain *= np.clip((r - 0.8) * 4, 0, 1) + rng.uniform(0.3, 1.5) * np.exp(-(((r - 1.15) / 0.12) ** 2))
        mask |= r < 0.95
    return gain, mask


def blur(rng: np.random.Generator, image: Image2D, pixel_mm: float) -> Image2D:
    """Point spread of .5-1.9 mm (full width), different along phase and frequency, with some edge overshoot."""
    rows, columns = (rng.uniform(0.2, 0.8, 2) / pixel_mm).tolist()
    soft = gaussian_filter1d(gaussian_filter1d(image, rows, axis=0), columns, axis=1)
    if rng.random() < 0.35:  # truncation ringing or a sharpening filter
        soft = soft + rng.uniform(0.1, 0.7) * (soft - gaussian_filter(soft, rng.uniform(0.8, 1.6) / pixel_mm))
    return np.maximum(soft, 0).astype(np.float32)


def noise(rng: np.random.Generator, image: Image2D) -> Image2D:
    """Rician noise of .3-6 % of the 99th percentile, sometimes interpolated (correlated), then a mild tone curve."""
    scaled = image / (np.percentile(image, 99) + 1e-6)
    parts = rng.standard_normal((2, *image.shape), dtype=np.float32)
    if rng.random() < 0.4:
        parts = gaussian_filter(parts, (0, *rng.uniform(0.3, 0.8, 2)))
        parts /= parts.std() + 1e-6
    parts *= 10 ** rng.uniform(-2.5, -1.2)
    noisy = np.hypot(scaled + parts[0], parts[1])
    if rng.random() < 0.3:
        noisy = noisy ** rng.uniform(0.7, 1.3)
    if rng.random() < 0.15:  # a display export that clipped the bright end and lifted the dark one
        noisy = np.minimum(noisy, rng.uniform(0.5, 1.0)) + rng.uniform(0, 0.1)
    return np.asarray(noisy, dtype=np.float32)
