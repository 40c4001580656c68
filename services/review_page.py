"""What the review page shows, put into words and drawn. Pure: stored records in, plain values for the template out."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateways.records.pictures import KeptPicture
from gateways.records.results import Past
from schemas.assessment import Assessment, Risk
from schemas.clinical import ClinicalInput, IgnoredInput
from schemas.measurement import BODY_LEVELS, CSF_LEVELS, Ellipse, Level, Measurement, Region
from schemas.wording import OUTCOME, STATES, interval, number, percent, remarks, used_and_other, value_text, years
from vbq.clinical.merge import LABELS

MARGIN_MM: Final = 40.0
LEVELS: Final[tuple[Level, ...]] = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")
METHODS: Final = {"reader": "regions drawn by a reader", "automatic": "automatic regions", None: "no regions"}
SCALE: Final = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)


class Shape(NamedTuple):
    """One region on the picture, in mm from its upper left corner."""

    kind: str
    label: str
    title: str
    x: float
    y: float
    rx: float
    ry: float
    angle: float
    polygons: tuple[str, ...]
    label_x: float
    anchor: str


class Drawn(NamedTuple):
    """The picture with its regions; lengths in mm."""

    width: float
    height: float
    view: str
    shapes: tuple[Shape, ...]
    scale_x: float
    scale_y: float


class InputRow(NamedTuple):
    label: str
    value: str
    date: str
    source: str
    remarks: str
    stale: bool


class PassedOver(NamedTuple):
    what: str
    date: str
    source: str
    why: str


class LevelRow(NamedTuple):
    """One level: body and CSF, None where it was not measured."""

    level: str
    body: Region | None
    csf: Region | None
    remark: str


class HistoryRow(NamedTuple):
    id: str
    when: str
    what: str
    model: str
    changed: str
    status: str
    here: bool


@dataclass(frozen=True)
class Page:
    """Everything but the records themselves."""

    title: str
    state: str
    outcome: str
    interval: str
    created: str
    newer: str | None
    used: list[InputRow]
    other: list[InputRow]
    passed_over: list[PassedOver]
    notes: list[str]
    reasons: list[str]
    levels: list[LevelRow]
    ratio: str
    method: str
    drawn: Drawn | None
    history: list[HistoryRow]
    scale: tuple[int, ...] = SCALE


def page_of(assessment: Assessment, history: Sequence[Past], picture: KeptPicture | None) -> Page:
    """The page about `assessment`. `history`: every stored one of the patient, the newest first, this one included."""
    risk, measured = assessment.risk, assessment.measurement
    used, other = used_and_other(assessment)
    flags = [*(risk.flags if risk else ()), *(measured.flags if measured else ())]
    reasons = [*assessment.reasons, *(measured.reasons if measured else ())]
    return Page(
        title=_title(risk, assessment),
        state=STATES[assessment.state],
        outcome=OUTCOME,
        interval=interval(risk) if risk else "",
        created=_moment(assessment.created),
        newer=next((row.superseded_by for row in history if row.assessment.id == assessment.id), None),
        used=[_input(row) for row in used],
        other=[_input(row) for row in other],
        passed_over=[_passed_over(row) for row in assessment.ignored],
        notes=list(dict.fromkeys(row.text for row in flags)),
        reasons=list(dict.fromkeys(row.text for row in reasons)),
        levels=_levels(measured) if measured else [],
        ratio=_ratio(measured) if measured else "",
        method=METHODS[measured.method] if measured else "",
        drawn=drawn(measured, picture) if measured and picture else None,
        history=_history(assessment, history),
    )


def _title(risk: Risk | None, assessment: Assessment) -> str:
    if risk is None:
        return f"No risk: {STATES[assessment.state]}"
    return f"{percent(risk.risk)} within {years(risk.horizon_years)} years"


def _input(row: ClinicalInput) -> InputRow:
    said = "; ".join(remarks(row))
    date = row.date.isoformat() if row.date else ""
    return InputRow(row.label, value_text(row), date, row.source, said, row.stale)


def _passed_over(row: IgnoredInput) -> PassedOver:
    names: dict[str, str] = {str(name): label for name, label in LABELS.items()}
    return PassedOver(names.get(row.about, row.about), row.date.isoformat() if row.date else "", row.source, row.text)


def _levels(measured: Measurement) -> list[LevelRow]:
    rows = []
    for level in LEVELS:
        body, csf = measured.levels.get(level), measured.csf.get(level)
        if body is None and csf is None:
            continue
        said = [f"{name}: {row.reason}" for name, row in (("body", body), ("CSF", csf)) if row and row.reason]
        rows.append(LevelRow(level, body, csf, "; ".join(said)))
    return rows


def _ratio(measured: Measurement) -> str:
    """The score in one line, from the very means that made it."""
    bodies = [measured.levels[level].mean for level in BODY_LEVELS if _counts(measured.levels.get(level))]
    fluid = [measured.csf[level].mean for level in CSF_LEVELS if _counts(measured.csf.get(level))]
    if measured.vbq is None or not bodies or not fluid:
        return ""
    top, bottom = sum(bodies) / len(bodies), sum(fluid) / len(fluid)
    return f"{number(top)} / {number(bottom)} = {top / bottom:.2f}"


def _counts(region: Region | None) -> bool:
    return region is not None and region.used


def _history(assessment: Assessment, history: Sequence[Past]) -> list[HistoryRow]:
    rows = []
    for place, (row, _) in enumerate(history):
        before = history[place + 1].assessment if place + 1 < len(history) else None
        what = f"{percent(row.risk.risk)} ({interval(row.risk)})" if row.risk else STATES[row.state]
        rows.append(
            HistoryRow(
                id=row.id,
                when=_moment(row.created),
                what=what,
                model=f"{row.model.id} {row.model.version}",
                changed=_changed(row, before),
                status="counts now" if history[place].superseded_by is None else "superseded",
                here=row.id == assessment.id,
            )
        )
    return rows


def _changed(now: Assessment, before: Assessment | None) -> str:
    """What differs from the assessment before, by name: `VBQ 4.10 (was 3.90); T-score new`."""
    if before is None:
        return "first one"
    new: dict[str, tuple[str, str]] = {row.name: (row.label, value_text(row)) for row in now.inputs}
    old: dict[str, tuple[str, str]] = {row.name: (row.label, value_text(row)) for row in before.inputs}
    both = [(label, value, old[name][1]) for name, (label, value) in new.items() if name in old]
    said = [f"{label} {value} (was {was})" for label, value, was in both if value != was]
    said += [f"{label} {value} is new" for name, (label, value) in new.items() if name not in old]
    said += [f"{label} no longer counts" for name, (label, _) in old.items() if name not in new]
    if now.model.digest != before.model.digest:
        said.append(f"model (was {before.model.id} {before.model.version})")
    return "; ".join(said) or "remarks, dates or sources only"


def _moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def drawn(measured: Measurement, picture: KeptPicture) -> Drawn:
    """The regions over the slice, cropped to their surroundings. Regions of other slices are drawn dashed."""
    row_mm, column_mm = picture.spacing_mm
    width, height = picture.columns * column_mm, picture.rows * row_mm
    slice_uid = measured.slice.sop_instance_uid if measured.slice else ""
    shapes = [
        _shape(kind, level, region, picture.spacing_mm, here=region.sop_instance_uid == slice_uid)
        for kind, regions in (("body", measured.levels), ("fluid", measured.csf))
        for level, region in regions.items()
    ]
    left, top, right, bottom = 0.0, 0.0, width, height
    if shapes:
        left = max(0.0, min(shape.x for shape in shapes) - MARGIN_MM)
        right = min(width, max(shape.x for shape in shapes) + MARGIN_MM)
        top = max(0.0, min(shape.y for shape in shapes) - MARGIN_MM)
        bottom = min(height, max(shape.y for shape in shapes) + MARGIN_MM)
    view = f"{left:.2f} {top:.2f} {right - left:.2f} {bottom - top:.2f}"
    return Drawn(round(width, 2), round(height, 2), view, tuple(shapes), round(left + 4, 2), round(bottom - 4, 2))


def _shape(kind: str, level: str, region: Region, spacing_mm: tuple[float, float], *, here: bool) -> Shape:
    ellipse = region.ellipse
    x, y = _place(ellipse.center, spacing_mm)
    rx, ry = ellipse.semi_axes_mm
    name = level if kind == "body" else f"CSF {level}"
    classes = f"{kind}{'' if region.used else ' unused'}{'' if here else ' elsewhere'}"
    title = f"{name}: mean {region.mean:.0f}, SD {region.sd:.0f}, {region.area_mm2:.0f} mm²"
    title += f"; {region.reason}" if region.reason else ""
    turn = math.radians(ellipse.angle_deg)
    beside = x + math.hypot(rx * math.cos(turn), ry * math.sin(turn)) + 2 if kind == "fluid" else x
    return Shape(
        kind=classes,
        label=name if kind == "body" else level,
        title=title if here else f"{title} (on a neighbouring slice)",
        x=round(x, 2),
        y=round(y, 2),
        rx=round(rx, 2),
        ry=round(ry, 2),
        angle=round(ellipse.angle_deg, 1),
        polygons=_rings(ellipse, spacing_mm),
        label_x=round(beside, 2),
        anchor="start" if kind == "fluid" else "middle",
    )


def _rings(ellipse: Ellipse, spacing_mm: tuple[float, float]) -> tuple[str, ...]:
    return tuple(
        " ".join(f"{x:.2f},{y:.2f}" for x, y in (_place(point, spacing_mm) for point in ring))
        for ring in ellipse.outline or ()
    )


def _place(point: tuple[float, float], spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """(x, y) in mm of (row, column) in pixels, whose centres are at integers."""
    return (point[1] + 0.5) * spacing_mm[1], (point[0] + 0.5) * spacing_mm[0]
