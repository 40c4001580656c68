"""A VBQ measurement: the regions, what they hold, and how far the number can be trusted.

Pixel coordinates are (row, column) with pixel centres at integers. An ellipse's first semi-axis lies at `angle_deg`
from the direction of increasing columns towards increasing rows (clockwise as displayed).
The JSON of `vbq measure --json` is this record (design/CONTRACT.md).
"""

from typing import Literal

from pydantic import Field

from schemas.record import Record

Level = Literal["T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"]
BODY_LEVELS: tuple[Level, ...] = ("L1", "L2", "L3", "L4")
CSF_LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")
MeasurementStatus = Literal["measured", "needs_confirmation", "needs_regions", "not_measurable"]
Method = Literal["automatic", "reader"]


class Reason(Record):
    """Why something is as it is: a stable `code` for programs, a sentence for people (no patient data in it)."""

    code: str
    text: str


class Ellipse(Record):
    """An oval in the image plane."""

    center: tuple[float, float] = Field(description="row, column in pixels; pixel centres at integers")
    semi_axes_mm: tuple[float, float] = Field(description="first and second semi-axis in mm")
    angle_deg: float = Field(default=0.0, description="of the first semi-axis, from +column towards +row, degrees")
    outline: list[list[tuple[float, float]]] | None = Field(
        default=None,
        description="closed rings of (row, column), inside by the even-odd rule: where given it is what is measured, "
        "and the oval is the ellipse that fits it best",
    )
    sop_instance_uid: str | None = Field(
        default=None, description="the slice it was drawn on, where that is another than the set's"
    )


class RegionSet(Record):
    """Ovals per level on one slice, as a reader or the network gave them: the --rois file."""

    sop_instance_uid: str | None = Field(default=None, description="the slice; None where the file names none")
    levels: dict[Level, Ellipse]
    csf: dict[Level, Ellipse]
    unconfirmed: list[Reason] = Field(
        default_factory=list, description="why a person must look at the levels before the number counts"
    )
    remarks: list[Reason] = Field(default_factory=list, description="what was odd about the file; becomes flags")


class Region(Record):
    """One oval and what it holds. Signal intensities are in rescaled stored units (arbitrary)."""

    mean: float
    sd: float
    area_mm2: float
    pixels: int = Field(description="number of pixels whose centres lie inside")
    ellipse: Ellipse
    sop_instance_uid: str
    used: bool = True
    reason: str | None = Field(default=None, description="why it is not used, or stands in for another level")


class SliceRef(Record):
    """A slice; `index` counts from 0 in the order of position along the normal (row direction x column direction)."""

    sop_instance_uid: str
    index: int
    score: float | None = Field(default=None, description="how mid-sagittal it is; only comparable within a series")


class Acquisition(Record):
    """How the images came about; None where the header does not say (never guessed)."""

    study_date: str | None = Field(default=None, description="YYYY-MM-DD")
    field_strength_t: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    manufacturer: str | None = None
    model_name: str | None = None
    series_description: str | None = None
    rows: int | None = None
    columns: int | None = None
    slices: int | None = None
    pixel_spacing_mm: tuple[float, float] | None = Field(default=None, description="between rows, between columns")
    slice_spacing_mm: float | None = None


class SeriesVerdict(Record):
    """One series of the study: chosen or not, and why."""

    series_uid: str
    description: str | None
    modality: str | None
    slices: int
    chosen: bool
    score: float
    reasons: list[Reason]


class BodyShape(Record):
    """Heights of one vertebral body's marrow. The grade is suspected, for a person to look at; never a diagnosis."""

    heights_mm: tuple[float, float, float] = Field(description="anterior, middle, posterior")
    anterior_posterior: float = Field(description="anterior over posterior height")
    middle_posterior: float = Field(description="middle over posterior height")
    loss: float = Field(description="share of the expected height that is lost where the body is lowest")
    suspected_genant_grade: int = Field(ge=0, le=3)


class Numbering(Record):
    """How the levels were told: counted up from the sacrum, with a confidence between 0 and 1."""

    confidence: float
    sacrum_in_view: bool
    bodies: int = Field(description="vertebral bodies seen on the slice, whole or cut")


class Comparison(Record):
    """The automatic measurement beside a reader's, or what kept it from being one."""

    status: MeasurementStatus
    vbq: float | None
    interval: tuple[float, float] | None
    difference: float | None = Field(description="automatic VBQ over the reader's, less 1")
    slice: SliceRef | None
    levels: dict[Level, Region]
    csf: dict[Level, Region]
    reasons: list[Reason]


class Measurement(Record):
    """The outcome of measuring one study."""

    status: MeasurementStatus
    vbq: float | None = Field(
        default=None, description="dimensionless ratio; None unless status is measured or needs_confirmation"
    )
    interval: tuple[float, float] | None = Field(
        default=None,
        description="95 % interval of vbq from noise within the regions, disagreement between CSF levels and, for "
        "automatic regions, the neighbouring slices",
    )
    variants: dict[str, float] = Field(
        default_factory=dict, description="named variants, e.g. median; the paper's mean is `vbq`"
    )
    reasons: list[Reason] = Field(default_factory=list, description="why the status is not `measured`")
    flags: list[Reason] = Field(default_factory=list, description="quality remarks that leave the number standing")
    method: Method | None = None
    algorithm: str = Field(description="name and version of what measured")
    study_uid: str
    series_uid: str | None = None
    slice: SliceRef | None = None
    runner_up: SliceRef | None = None
    levels: dict[Level, Region] = Field(default_factory=dict)
    csf: dict[Level, Region] = Field(default_factory=dict)
    acquisition: Acquisition = Acquisition()
    series: list[SeriesVerdict] = Field(default_factory=list)
    shapes: dict[Level, BodyShape] = Field(default_factory=dict, description="heights, for a person to look at")
    numbering: Numbering | None = None
    slice_range: tuple[float, float] | None = Field(
        default=None, description="least and greatest vbq on the chosen slice and its neighbours, each measured alone"
    )
    automatic: Comparison | None = Field(default=None, description="beside a reader's regions: what the network found")
    regions_source: str | None = Field(
        default=None, description="where a reader's regions came from, e.g. regions.json"
    )
