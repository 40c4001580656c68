"""A whole synthetic study: a sagittal T1 series whose VBQ is known, with T2 series beside it as distractors."""

from dataclasses import dataclass

import numpy as np

from schemas.measurement import CSF_LEVELS, Level
from vbq.simulate.acquisition import Noise, Scanner, Stored, build_scanner, expected, stored
from vbq.simulate.anatomy import Anatomy, build_anatomy, paint_slice
from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Plane
from vbq.simulate.sequence import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, Sequence
from vbq.simulate.stack import axial_stack, mid_sagittal, sagittal_stack
from vbq.simulate.texture import FLAT, Textures, build_textures
from vbq.simulate.tissue import MARROWS, Contrast, Tissue, marrow_alone, only, t1_contrast, t2_contrast, without_marrow
from vbq.simulate.truth import TrueRegions, means, ratio, true_regions

T2_SHARE, AXIAL_SHARE = 0.75, 0.625  # of the T1's matrix
AXIAL_PIXEL_MM = 0.5625  # at a matrix of 320


@dataclass(frozen=True)
class PhantomSeries:
    """One series: its planes in the order of position along the normal, and its stored pixels."""

    sequence: Sequence
    planes: tuple[Plane, ...]
    thickness_mm: float
    spacing_mm: float
    images: tuple[Stored, ...]


@dataclass(frozen=True)
class Truth:
    """What is known of the T1 series, measured on the stored pixels of the true regions."""

    vbq: float
    slice_index: int
    regions: TrueRegions
    body_means: dict[Level, float]
    csf_means: dict[Level, float]
    expected_vbq: float
    """What the same regions would hold on average over all noise: small ovals of dark CSF hold a share of chance."""


@dataclass(frozen=True)
class PhantomStudy:
    """A study as arrays; gateways/dicom_write.py makes files of it. `series[0]` is the T1."""

    parameters: PhantomParameters
    series: tuple[PhantomSeries, ...]
    truth: Truth


def simulate_study(parameters: PhantomParameters) -> PhantomStudy:
    """The study of `parameters`; the same parameters give the same pixels.

    The marrow's signal is solved for so that the true regions of the mid-sagittal slice hold `parameters.vbq` after
    coil falloff, limited resolution, noise and rounding. Raises ValueError where the field of view leaves out L1-L3.
    """
    anatomy = build_anatomy(parameters)
    shape = (parameters.rows, parameters.columns)
    textures = build_textures(parameters.seed, shape, parameters.pixel_mm, parameters.texture)
    t1, truth = _t1_series(anatomy, textures)
    series = [t1]
    if parameters.distractors:
        series += [_sagittal_t2(anatomy, textures), _axial_t2(anatomy, textures)]
    return PhantomStudy(parameters, tuple(series), truth)


def _t1_series(anatomy: Anatomy, textures: Textures) -> tuple[PhantomSeries, Truth]:
    parameters = anatomy.parameters
    planes = sagittal_stack(parameters, (parameters.rows, parameters.columns), parameters.pixel_mm)
    middle = mid_sagittal(anatomy.spine, anatomy.profile, planes)
    scanner = build_scanner(parameters, anatomy.profile, anatomy.trunk, planes[middle], band=True)
    level = 0.3 * parameters.vbq**0.5  # marrow brightens and CSF darkens as the ratio grows
    contrast = t1_contrast(marrow=level, csf=level / parameters.vbq, nerve=parameters.nerve)
    share = paint_slice(anatomy, planes[middle], parameters.slice_mm, only(Tissue.CSF), FLAT)
    regions = true_regions(anatomy, planes[middle], scanner.filtered(share))
    shoot = _Shoot(anatomy, SAGITTAL_T1, scanner, textures, parameters.noise * level)
    gain, expected_vbq = _solve_marrow(shoot, planes[middle], middle, contrast, regions)
    exact = {tissue: value * gain if tissue in MARROWS else value for tissue, value in contrast.items()}
    series = shoot.series(planes, parameters.slice_mm + parameters.gap_mm, exact)
    return series, _truth(series.images[middle], planes[middle], middle, regions, expected_vbq)


def _solve_marrow(
    shoot: "_Shoot", plane: Plane, index: int, contrast: Contrast, regions: TrueRegions
) -> tuple[float, float]:
    """The factor on the marrow's signal that makes the stored ratio what is asked for, and the ratio without noise.

    Painting is linear in each tissue's signal, so two images (all but the marrow, the marrow alone) give every other.
    """
    wanted, scanner = shoot.anatomy.parameters.vbq, shoot.scanner
    noise = shoot.noise(index)
    rest = scanner.filtered(shoot.signal(plane, index, without_marrow(contrast)) * scanner.gain + noise[0])
    marrow = scanner.filtered(shoot.signal(plane, index, marrow_alone(contrast)) * scanner.gain)
    imaginary = scanner.filtered(noise[1])
    gain = 1.0
    for _ in range(10):
        gain *= wanted / ratio(stored(rest + np.float32(gain) * marrow, imaginary), regions, plane)
    clean = rest - scanner.filtered(noise[0]) + np.float32(gain) * marrow
    return gain, ratio(expected(clean, shoot.sigma), regions, plane)


def _truth(image: Stored, plane: Plane, index: int, regions: TrueRegions, expected_vbq: float) -> Truth:
    body = dict(zip(regions.bodies, means(image, list(regions.bodies.values()), plane), strict=True))
    csf = dict(zip(CSF_LEVELS, means(image, [regions.csf[level] for level in CSF_LEVELS], plane), strict=True))
    return Truth(ratio(image, regions, plane), index, regions, body, csf, expected_vbq)


@dataclass(frozen=True)
class _Shoot:
    """One series being taken; a slice's mottling and noise depend on the seed and its index alone."""

    anatomy: Anatomy
    sequence: Sequence
    scanner: Scanner
    textures: Textures
    sigma: float

    def signal(self, plane: Plane, index: int, contrast: Contrast) -> Image:
        textures = self.textures.moved(self._rng(index, 20))
        return paint_slice(self.anatomy, plane, self.anatomy.parameters.slice_mm, contrast, textures)

    def noise(self, index: int) -> Noise:
        return self.scanner.noise(self.sigma, self._rng(index, 21))

    def series(self, planes: tuple[Plane, ...], spacing_mm: float, contrast: Contrast) -> PhantomSeries:
        images = tuple(
            self.scanner.stored(self.signal(plane, index, contrast), self.noise(index))
            for index, plane in enumerate(planes)
        )
        return PhantomSeries(self.sequence, planes, self.anatomy.parameters.slice_mm, spacing_mm, images)

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.anatomy.parameters.seed, stream, self.sequence.number, index])


def _sagittal_t2(anatomy: Anatomy, textures: Textures) -> PhantomSeries:
    parameters = anatomy.parameters
    shape = (round(T2_SHARE * parameters.rows), round(T2_SHARE * parameters.columns))
    planes = sagittal_stack(parameters, shape, parameters.pixel_mm / T2_SHARE)
    return _t2(anatomy, textures, SAGITTAL_T2, planes, parameters.slice_mm + parameters.gap_mm)


def _axial_t2(anatomy: Anatomy, textures: Textures) -> PhantomSeries:
    side = round(AXIAL_SHARE * anatomy.parameters.rows)
    planes = axial_stack(anatomy.spine, anatomy.profile, (side, side), AXIAL_PIXEL_MM * 320 / side)
    return _t2(anatomy, textures, AXIAL_T2, planes, planes[1].origin_mm[2] - planes[0].origin_mm[2])


def _t2(
    anatomy: Anatomy, textures: Textures, sequence: Sequence, planes: tuple[Plane, ...], spacing_mm: float
) -> PhantomSeries:
    """A distractor: T2 has no VBQ, so nothing is solved for."""
    parameters = anatomy.parameters
    scanner = build_scanner(parameters, anatomy.profile, anatomy.trunk, planes[len(planes) // 2], band=False)
    contrast = t2_contrast(hydration=1 - parameters.degeneration)
    shoot = _Shoot(anatomy, sequence, scanner, textures, parameters.noise * contrast[Tissue.MARROW])
    return shoot.series(planes, spacing_mm, contrast)
