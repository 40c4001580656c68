"""From signal to stored pixels: coil, saturation band, limited k-space, noise, magnitude, whole numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Plane
from vbq.simulate.profile import Profile
from vbq.simulate.surroundings import Surroundings

Noise = tuple[Image, Image]  # real and imaginary part
Stored = NDArray[np.uint16]
SCALE = 600.0  # stored units per unit of signal where the coil's gain is 1, at the front of L3's canal
MAXIMUM = 4095  # 12 bits
ELEMENTS = 6
ELEMENT_SPACING_MM = 72.0
ELEMENT_BEHIND_SKIN_MM = 18.0
ACQUIRED_SHARE = (0.66, 0.78)  # of k-space, along rows and columns; the rest is interpolation, as scanners do


@dataclass(frozen=True)
class Scanner:
    """What a series' images go through. `window` weighs k-space and is 0 where nothing is acquired."""

    gain: Image
    window: Image

    def filtered(self, image: Image) -> Image:
        """What the band limit leaves of a real image; linear."""
        half = self.window[:, : image.shape[1] // 2 + 1]
        result: Image = np.fft.irfft2(np.fft.rfft2(image) * half, s=image.shape)
        return result

    def noise(self, sigma: float, rng: np.random.Generator) -> Noise:
        """White Gaussian noise of two channels which after the band limit has SD `sigma` in each."""
        rows, columns = self.window.shape
        kept = float(np.square(self.window).sum()) / (rows * columns)
        noise = rng.standard_normal((2, rows, columns), dtype=np.float32)
        noise *= np.float32(sigma / np.sqrt(kept))
        return noise[0], noise[1]

    def stored(self, signal: Image, noise: Noise, receiver: float = 1.0) -> Stored:
        """The stored image of a signal: coil, noise (Rician by taking the magnitude), band limit, 12 bits.

        A `receiver` above 1 is a gain that was set too high: what does not fit into 12 bits is cut off.
        """
        return stored(self.filtered(signal * self.gain + noise[0]), self.filtered(noise[1]), receiver)


def build_scanner(
    parameters: PhantomParameters, profile: Profile, trunk: Surroundings, plane: Plane, *, band: bool
) -> Scanner:
    """The scanner for slices parallel to `plane`, whose gain is taken in `plane` itself (a series' middle).

    `band` says whether this series has the saturation band in front.
    """
    points = plane.whole().points
    gain = _sensitivity(points.x, points.y, points.z, parameters.falloff_mm, trunk)
    middle = profile.canal_place(0.0, 0.0)
    x, y, z = (np.full((1, 1), value, dtype=np.float32) for value in middle)
    gain = gain / _sensitivity(x, y, z, parameters.falloff_mm, trunk)
    if band and parameters.saturation_band:
        ahead = points.y - (Profile.read(profile.front_wall, points.z) - 24)
        gain = gain * (np.float32(0.12) + np.float32(0.88) / (1 + np.exp(-np.clip(ahead / 5, -30, 30))))
    rows, columns = plane.shape
    window = _band_limit(rows, ACQUIRED_SHARE[0])[:, None] * _band_limit(columns, ACQUIRED_SHARE[1])[None, :]
    return Scanner(np.ascontiguousarray(np.broadcast_to(gain, plane.shape), dtype=np.float32), window)


def _sensitivity(x: Image, y: Image, z: Image, reach_mm: float, trunk: Surroundings) -> Image:
    """Root of the sum of squares of a row of loop elements along the back (on-axis field of a loop of `reach_mm`)."""
    total: Image = np.zeros((1, 1), dtype=np.float32)
    for k in range(ELEMENTS):
        height = np.float32((k - (ELEMENTS - 1) / 2) * ELEMENT_SPACING_MM)
        behind = float(Profile.read(trunk.skin, np.array([height]))[0]) + ELEMENT_BEHIND_SKIN_MM
        away = np.square(y - np.float32(behind)) + np.square(z - height) + np.square(x) * np.float32(0.3)
        total = total + 1 / (1 + away * np.float32(1 / reach_mm**2)) ** 3
    gain: Image = np.sqrt(total)
    return gain


def _band_limit(length: int, share: float) -> Image:
    """Weights of the frequencies of one axis: 1 in the middle, softly down to 0.6 at the edge of what is acquired."""
    frequency = np.abs(np.fft.fftfreq(length)) / (0.5 * share)
    weights = np.where(frequency <= 1, 0.8 + 0.2 * np.cos(np.pi * np.minimum(frequency, 1)), 0)
    return weights.astype(np.float32)


def stored(real: Image, imaginary: Image, receiver: float = 1.0) -> Stored:
    """Magnitude in stored units, 12 bits."""
    return np.clip(np.rint(np.hypot(real, imaginary) * np.float32(SCALE * receiver)), 0, MAXIMUM).astype(np.uint16)


def expected(real: Image, sigma: float) -> Image:
    """The mean of `stored` over all noise of SD `sigma` in each channel, not rounded; `real` is free of noise.

    Rice's mean (Gudbjartsson and Patz, Magn Reson Med 1995;34:910-914): noise lifts what is dark.
    """
    from scipy.special import i0e, i1e  # here: slow to import, and needed for truths alone

    if sigma == 0:
        return np.asarray(np.abs(real) * np.float32(SCALE), dtype=np.float32)
    half = np.square(real.astype(np.float64) / sigma) / 4
    mean = sigma * np.sqrt(np.pi / 2) * ((1 + 2 * half) * i0e(half) + 2 * half * i1e(half))
    return np.asarray(np.minimum(mean * SCALE, MAXIMUM), dtype=np.float32)
