"""Mottling: smooth random fields of mean 1 that multiply a tissue's signal."""

from dataclasses import dataclass, replace

import numpy as np

from vbq.simulate.plane import Area, Image
from vbq.simulate.tissue import Tissue

MARGIN = 160  # pixels by which the fields are larger than an image, so that each slice gets its own piece


@dataclass(frozen=True)
class Textures:
    """For each tissue that has one, a field of factors of mean 1; larger than an image by MARGIN on each axis."""

    factors: dict[Tissue, Image]
    offset: tuple[int, int] = (0, 0)

    def of(self, tissue: Tissue, area: Area) -> Image | np.float32:
        """The factor over `area`."""
        field = self.factors.get(tissue)
        if field is None:
            return np.float32(1)
        piece: Image = field[self.offset[0] :, self.offset[1] :][area]
        return piece

    def moved(self, rng: np.random.Generator) -> "Textures":
        """The same fields seen elsewhere: the next slice's."""
        dr, dc = rng.integers(0, MARGIN, 2)
        return replace(self, offset=(int(dr), int(dc)))


FLAT = Textures({})
"""No mottling at all: for images of shares."""


def build_textures(seed: int, shape: tuple[int, int], pixel_mm: float, marrow: float) -> Textures:
    """Fields for images of `shape`; `marrow` is the SD of the marrow's mottling."""
    rng = np.random.default_rng([seed, 3])
    grain = _field(rng, shape, (1.1 / pixel_mm, 1.1 / pixel_mm))
    strands = _field(rng, shape, (9.0 / pixel_mm, 0.9 / pixel_mm))
    clouds = _field(rng, shape, (7.0 / pixel_mm, 7.0 / pixel_mm))
    kinds = {
        Tissue.MARROW: (grain, marrow),
        Tissue.SACRAL_MARROW: (grain, 1.3 * marrow),
        Tissue.FATTY_LESION: (grain, 0.1),
        Tissue.SUBCUTANEOUS_FAT: (strands, 0.06),
        Tissue.DEEP_FAT: (clouds, 0.14),
        Tissue.MUSCLE: (strands, 0.3),
        Tissue.FLAVUM: (strands, 0.3),
        Tissue.VISCERA: (clouds, 0.4),
        Tissue.BOWEL: (grain, 0.25),
    }
    return Textures(
        {tissue: np.maximum(1 + np.float32(amplitude) * field, 0.05) for tissue, (field, amplitude) in kinds.items()}
    )


def _field(rng: np.random.Generator, shape: tuple[int, int], sigma: tuple[float, float]) -> Image:
    """White noise blurred by a Gaussian of `sigma` pixels (rows, columns), mean 0, SD 1."""
    rows, columns = shape[0] + MARGIN, shape[1] + MARGIN
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    fr, fc = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]
    blur = np.exp(-2 * np.pi**2 * ((fr * sigma[0]) ** 2 + (fc * sigma[1]) ** 2)).astype(np.float32)
    field = np.fft.irfft2(np.fft.rfft2(noise) * blur, s=(rows, columns)).astype(np.float32)
    result: Image = (field - field.mean()) / field.std()
    return result
