"""What imaging works on: slices, series and studies as numpy arrays and plain values.

Coordinates are DICOM's patient coordinates (LPS, mm): x to the left, y to the back, z to the head.
A field is None where the header does not say; nothing is ever filled in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.measurement import Reason

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]
Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]


def normal_of(orientation: Orientation) -> Floats:
    """Unit normal (3,) of a slice: row direction x column direction (the two halves of ImageOrientationPatient)."""
    rx, ry, rz, cx, cy, cz = orientation
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)  # np.cross costs ten times as much
    length = math.hypot(*normal)
    return np.array(normal) / length if length > 0 else np.array(normal)


@dataclass(frozen=True)
class Slice:
    """One image. `pixels` (rows, columns), rescaled stored values in arbitrary units."""

    sop_instance_uid: str
    pixels: Pixels
    position_mm: Vector
    orientation: Orientation
    pixel_spacing_mm: tuple[float, float]
    instance_number: int | None = None
    ceiling: float | None = None
    """The largest value that the stored bits can hold, rescaled: pixels that reach it are saturated."""

    @property
    def along_normal_mm(self) -> float:
        """Position along row direction x column direction."""
        return float(normal_of(self.orientation) @ np.asarray(self.position_mm))


@dataclass(frozen=True)
class SeriesHeader:
    """What the headers of one series say; values that differ between instances are given as tuples."""

    uid: str
    modality: str | None = None
    description: str | None = None
    protocol: str | None = None
    number: int | None = None
    body_parts: tuple[str, ...] = ()
    acquisition_date: str | None = None
    """YYYYMMDD of the earliest instance, where every instance has one."""
    acquisition_time: str | None = None
    """HHMMSS.FFFFFF of the earliest instance."""
    repetition_times_ms: tuple[float, ...] = ()
    echo_times_ms: tuple[float, ...] = ()
    inversion_times_ms: tuple[float, ...] = ()
    flip_angle_deg: float | None = None
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    sequence_name: str | None = None
    scan_options: tuple[str, ...] = ()
    contrast_agents: tuple[str, ...] = ()
    contrast_volume_ml: float | None = None
    image_types: tuple[str, ...] = ()
    """Every component of ImageType that any instance carries."""
    echo_numbers: tuple[int, ...] = ()
    orientations: tuple[Orientation, ...] = ()
    """Distinct orientations, to a degree or so."""
    slices: int = 0
    rows: int | None = None
    columns: int | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    field_strength_t: float | None = None
    manufacturer: str | None = None
    model_name: str | None = None
    photometric: tuple[str, ...] = ()
    frames: int = 1
    """The largest NumberOfFrames of an instance."""
    sop_instance_uids: tuple[str, ...] = ()
    obstacles: tuple[Reason, ...] = ()
    """Why pixels of this series cannot be had, e.g. a compression that is not allowed."""

    @property
    def repetition_time_ms(self) -> float | None:
        """TR where all instances agree on one."""
        return self.repetition_times_ms[0] if len(self.repetition_times_ms) == 1 else None

    @property
    def echo_time_ms(self) -> float | None:
        """TE where all instances agree on one."""
        return self.echo_times_ms[0] if len(self.echo_times_ms) == 1 else None


@dataclass(frozen=True)
class Series:
    """The slices of one series whose pixels could be had, and what is to be said of the others."""

    header: SeriesHeader
    slices: tuple[Slice, ...]
    unreadable: dict[str, Reason] = field(default_factory=dict)
    """SOP Instance UID -> why its pixels could not be had."""


@dataclass(frozen=True)
class Study:
    """The headers of a study. Holds nothing that says whose study it is (see identity.StudyIdentity)."""

    study_uid: str
    study_date: str | None
    """YYYY-MM-DD."""
    series: tuple[SeriesHeader, ...]
    flags: tuple[Reason, ...] = ()
    """What was odd about the files, e.g. some could not be read."""


LoadPixels = Callable[[str], Series]
"""Series UID -> the series with its pixels. Raises schemas.errors.Rejected where none can be had."""
