"""A made-up back as arrays: mirror-symmetric slices with bodies and CSF of known signal. Not a picture of anyone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from schemas.measurement import Ellipse, RegionSet
from vbq.imaging.volume import Orientation, Series, SeriesHeader, Slice, Study

SAGITTAL: Orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ROWS, COLUMNS, SPACING = 160, 120, (1.5, 1.5)
BODY_ROWS = {"T12": 15, "L1": 40, "L2": 65, "L3": 90, "L4": 115, "L5": 140}
BONE, CSF = 400.0, 100.0
HEADER = SeriesHeader(
    uid="2.25.1",
    modality="MR",
    description="T1 sag",
    repetition_times_ms=(550.0,),
    echo_times_ms=(10.0,),
    scanning_sequence=("SE",),
    image_types=("ORIGINAL", "PRIMARY", "M"),
    orientations=(SAGITTAL,),
    slices=11,
    rows=ROWS,
    columns=COLUMNS,
    pixel_spacing_mm=SPACING,
    photometric=("MONOCHROME2",),
    field_strength_t=1.5,
    manufacturer="Made up",
)


def one_slice(lateral_mm: float, seed: int, uid: str, instance: int) -> Slice:
    """A slice `lateral_mm` left of the midline: texture shared with its mirror image, spine only near the middle."""
    texture = np.random.default_rng(round(abs(lateral_mm) * 10)).normal(200, 40, (ROWS, COLUMNS))
    pixels = texture + np.random.default_rng(seed + instance).normal(0, 10, (ROWS, COLUMNS))
    if abs(lateral_mm) < 20:
        for row in BODY_ROWS.values():
            pixels[row - 9 : row + 9, 40:65] = BONE
    if abs(lateral_mm) < 8:
        pixels[:, 68:78] = CSF
    return Slice(
        sop_instance_uid=uid,
        pixels=pixels.astype(np.float32),
        position_mm=(lateral_mm, 0.0, 0.0),
        orientation=SAGITTAL,
        pixel_spacing_mm=SPACING,
        instance_number=instance,
        ceiling=4095.0,
    )


@pytest.fixture
def make_series() -> Callable[..., Series]:
    """make_series(count=11, gap_mm=4.5, middle=5) -> Series, instances numbered from right to left."""

    def make(count: int = 11, gap_mm: float = 4.5, middle: float = 5, seed: int = 0) -> Series:
        slices = tuple(one_slice((i - middle) * gap_mm, seed, f"2.25.1.{i + 1}", i + 1) for i in range(count))
        uids = tuple(one.sop_instance_uid for one in slices)
        return Series(replace(HEADER, slices=count, sop_instance_uids=uids), slices)

    return make


@pytest.fixture
def header() -> SeriesHeader:
    """A sagittal T1 spin echo series that may be measured."""
    return HEADER


@pytest.fixture
def rois() -> RegionSet:
    """Ovals inside the bodies and the CSF of the made-up back's middle slice."""
    return RegionSet(
        sop_instance_uid="2.25.1.6",
        levels={name: Ellipse(center=(BODY_ROWS[name], 52), semi_axes_mm=(12, 9)) for name in ("L1", "L2", "L3", "L4")},
        csf={
            name: Ellipse(center=(BODY_ROWS[name], 72.5), semi_axes_mm=(5, 3), angle_deg=90)
            for name in ("L1", "L2", "L3")
        },
    )


@pytest.fixture
def study_of() -> Callable[..., Study]:
    """study_of(header, ...) -> Study with these series."""

    def make(*headers: SeriesHeader) -> Study:
        return Study(study_uid="2.25.9", study_date="2024-01-02", series=headers)

    return make
