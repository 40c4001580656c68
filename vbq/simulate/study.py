"""A whole synthetic study: a sagittal T1 series whose VBQ is known, with T2 series beside it as distractors."""

import math
from dataclasses import dataclass

import numpy as np

from schemas.measurement import Level
from vbq.simulate.acquisition import Noise, Scanner, Stored, build_scanner, expected, stored
from vbq.simulate.anatomy import Anatomy, build_anatomy, paint_slice
from vbq.simulate.conditions import NONE
from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Plane
from vbq.simulate.sequence import AXIAL_T1, AXIAL_T2, OF_MAIN, SAGITTAL_T2, Sequence
from vbq.simulate.stack import axial_stack, mid_sagittal, sagittal_stack
from vbq.simulate.texture import FLAT, Textures, build_textures
from vbq.simulate.tissue import (
    MARROWS,
    Contrast,
    Tissue,
    enhanced,
    fat_of,
    marrow_alone,
    only,
    stir_contrast,
    t1_contrast,
    t2_contrast,
    water_of,
    without_marrow,
)
from vbq.simulate.truth import TrueRegions, means, ratio, true_regions

T2_SHARE, AXIAL_SHARE = 0.75, 0.625  # of the T1's matrix
AXIAL_PIXEL_MM = 0.5625  # at a matrix of 320
FEWEST_BODIES = 3  # with a true region, for there to be a true VBQ
FAT_OVER_MARROW = 1.4
NO_REGIONS = TrueRegions({}, {}, ())


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
    """What is known of the main series, measured on the stored pixels of the true regions (before any cut-off).

    `vbq` is NaN where the series has none, as on T2 or where the view leaves out too much.
    """

    vbq: float
    slice_index: int
    regions: TrueRegions
    body_means: dict[Level, float]
    csf_means: dict[Level, float]
    expected_vbq: float
    """What the same regions would hold on average over all noise: small ovals of dark CSF hold a share of chance."""


@dataclass(frozen=True)
class PhantomStudy:
    """A study as arrays; gateways/dicom/write.py makes files of it. `series[0]` is the T1, or what stands for it."""

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
    conditions = parameters.conditions
    if conditions.plane == "axial":
        main, truth = _axial_alone(anatomy, textures)
    elif conditions.part == "lumbar" and conditions.sequence in ("t1", "t1-gd"):
        main, truth = _t1_series(anatomy, textures)
    else:
        main, truth = _other_main(anatomy, textures)
    series = [main]
    if parameters.distractors and conditions.plane == "sagittal":
        series.append(_sagittal_t2(anatomy, textures))
        if conditions.part == "lumbar":
            series.append(_axial_t2(anatomy, textures))
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
    shoot = _Shoot(anatomy, OF_MAIN[parameters.conditions.sequence], scanner, textures, parameters.noise * level)
    enough = len(regions.used) >= FEWEST_BODIES and len(regions.csf) > 0
    gain, expected_vbq = 1.0, math.nan
    if enough:
        gain, expected_vbq = _solve_marrow(shoot, planes[middle], middle, contrast, regions)
    exact: Contrast = {tissue: value * gain if tissue in MARROWS else value for tissue, value in contrast.items()}
    if parameters.conditions != NONE:  # fat stays brighter than marrow that was solved for
        fat = max(exact[Tissue.FATTY_LESION], FAT_OVER_MARROW * exact[Tissue.MARROW])
        exact = {**exact, Tissue.FATTY_LESION: fat}
    if parameters.conditions.sequence == "t1-gd":
        exact, expected_vbq = enhanced(exact), math.nan
    series = shoot.series(planes, parameters.slice_mm + parameters.gap_mm, exact)
    whole = series.images[middle]
    if parameters.conditions.gain != 1.0:  # the truth is what a right gain would have stored
        whole = shoot.image(planes[middle], middle, exact, 1.0)
    return series, _truth(whole, planes[middle], middle, regions, expected_vbq)


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
    csf = dict(zip(regions.csf, means(image, list(regions.csf.values()), plane), strict=True))
    vbq = ratio(image, regions, plane) if math.isfinite(expected_vbq) else math.nan
    return Truth(vbq, index, regions, body, csf, expected_vbq)


def _axial_alone(anatomy: Anatomy, textures: Textures) -> tuple[PhantomSeries, Truth]:
    """T1 contrast, but across the spine."""
    parameters = anatomy.parameters
    side = round(AXIAL_SHARE * parameters.rows)
    planes = axial_stack(anatomy.spine, anatomy.profile, (side, side), AXIAL_PIXEL_MM * 320 / side)
    level = 0.3 * parameters.vbq**0.5
    contrast = t1_contrast(marrow=level, csf=level / parameters.vbq, nerve=parameters.nerve)
    scanner = build_scanner(parameters, anatomy.profile, anatomy.trunk, planes[len(planes) // 2], band=False)
    shoot = _Shoot(anatomy, AXIAL_T1, scanner, textures, parameters.noise * level)
    series = shoot.series(planes, planes[1].origin_mm[2] - planes[0].origin_mm[2], contrast)
    return series, Truth(math.nan, len(planes) // 2, NO_REGIONS, {}, {}, math.nan)


def _other_main(anatomy: Anatomy, textures: Textures) -> tuple[PhantomSeries, Truth]:
    """A sagittal series that has no VBQ: other weighting, or another part of the body. Nothing is solved for."""
    parameters = anatomy.parameters
    planes = sagittal_stack(parameters, (parameters.rows, parameters.columns), parameters.pixel_mm)
    middle = mid_sagittal(anatomy.spine, anatomy.profile, planes)
    scanner = build_scanner(parameters, anatomy.profile, anatomy.trunk, planes[middle], band=False)
    contrast = _contrast(parameters)
    sequence = OF_MAIN[parameters.conditions.sequence]
    shoot = _Shoot(anatomy, sequence, scanner, textures, parameters.noise * contrast[Tissue.MARROW])
    series = shoot.series(planes, parameters.slice_mm + parameters.gap_mm, contrast)
    if parameters.conditions.part != "lumbar":
        return series, Truth(math.nan, middle, NO_REGIONS, {}, {}, math.nan)
    share = paint_slice(anatomy, planes[middle], parameters.slice_mm, only(Tissue.CSF), FLAT)
    regions = true_regions(anatomy, planes[middle], scanner.filtered(share))
    return series, _truth(series.images[middle], planes[middle], middle, regions, math.nan)


def _contrast(parameters: PhantomParameters) -> Contrast:
    if parameters.conditions.sequence == "t2":
        return t2_contrast(hydration=1 - parameters.degeneration)
    if parameters.conditions.sequence == "stir":
        return stir_contrast(hydration=1 - parameters.degeneration)
    level = 0.3 * parameters.vbq**0.5
    native = t1_contrast(marrow=level, csf=level / parameters.vbq, nerve=parameters.nerve)
    return enhanced(native) if parameters.conditions.sequence == "t1-gd" else native


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
        thickness, shift = self.anatomy.parameters.slice_mm, self.anatomy.parameters.conditions.chemical_shift_px
        if not shift:
            return paint_slice(self.anatomy, plane, thickness, contrast, textures)
        water = paint_slice(self.anatomy, plane, thickness, water_of(contrast), textures)
        return water + _moved(paint_slice(self.anatomy, plane, thickness, fat_of(contrast), textures), shift)

    def noise(self, index: int) -> Noise:
        return self.scanner.noise(self.sigma, self._rng(index, 21))

    def image(self, plane: Plane, index: int, contrast: Contrast, receiver: float) -> Stored:
        return self.scanner.stored(self.signal(plane, index, contrast), self.noise(index), receiver)

    def series(self, planes: tuple[Plane, ...], spacing_mm: float, contrast: Contrast) -> PhantomSeries:
        receiver = self.anatomy.parameters.conditions.gain
        images = tuple(self.image(plane, index, contrast, receiver) for index, plane in enumerate(planes))
        return PhantomSeries(self.sequence, planes, self.anatomy.parameters.slice_mm, spacing_mm, images)

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.anatomy.parameters.seed, stream, self.sequence.number, index])


def _moved(image: Image, rows: float) -> Image:
    """The image `rows` pixels farther down, between pixels by the mean of both; what leaves it is gone."""
    whole = int(np.floor(rows))
    share = np.float32(rows - whole)
    down = [np.zeros_like(image), np.zeros_like(image)]
    for out, step in zip(down, (whole, whole + 1), strict=True):
        out[max(step, 0) : len(image) + min(step, 0)] = image[max(-step, 0) : len(image) - max(step, 0)]
    return (1 - share) * down[0] + share * down[1]


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
