"""From what a reader drew, in any program, to a RegionSet: one oval or outline per level and kind on one slice.

Labels decide. CSF without a level takes the level of the body beside it. Where no region has a label, bodies and CSF
are told apart by what lies behind what and numbered from the top as L1 on, and a person must confirm that.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from schemas.errors import NotAcceptable, NotMeasurable
from schemas.measurement import BODY_LEVELS, Ellipse, Level, Reason, RegionSet
from vbq.imaging.labels import Kind, Label, read_label
from vbq.imaging.polygon import Point, Ring, ellipse_of_axes, ellipse_of_outline
from vbq.imaging.volume import Floats, Orientation, Vector

BESIDE_MM = 20.0  # CSF belongs to a body whose centre is no farther along the spine than this
BEHIND_MM = (8.0, 60.0)  # from a body's centre to its CSF, back
NUMBERED: tuple[Level, ...] = (*BODY_LEVELS, "L5")


class Oval(NamedTuple):
    """center + cos t first + sin t second; (row, column) in pixels, pixel centres at integers."""

    center: Point
    first: Point
    second: Point


class Outline(NamedTuple):
    """Closed rings by the even-odd rule; (row, column) in pixels, pixel centres at integers."""

    rings: Sequence[Ring]


@dataclass(frozen=True)
class Drawing:
    """One region as a program wrote it. `image` names the slice, None where the file does not."""

    shape: Oval | Outline
    image: str | None = None
    texts: tuple[str, ...] = ()
    codes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Plane:
    """Where a slice lies: what it takes to turn pixels into mm."""

    position_mm: Vector
    orientation: Orientation
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int

    def place(self, row: float, column: float) -> Floats:
        """Patient coordinates (3,) in mm of a point of the image."""
        along_row, along_column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        row_mm, column_mm = self.pixel_spacing_mm
        placed = np.array(self.position_mm) + along_row * (column * column_mm) + along_column * (row * row_mm)
        return np.asarray(placed, dtype=np.float64)


class _Placed(NamedTuple):
    ellipse: Ellipse
    label: Label
    at_mm: Floats


def assemble(drawings: Sequence[Drawing], planes: Mapping[str | None, Plane], remarks: Sequence[Reason]) -> RegionSet:
    """The regions of one slice. `planes` has every image that `drawings` name, and None for those that name none.

    Raises NotAcceptable where nothing usable is there or a level is drawn twice, NotMeasurable for impossible shapes.
    """
    notes = list(remarks)
    image, chosen = _one_slice(drawings)
    plane = planes.get(image)
    if plane is None:
        raise NotMeasurable("the regions name a slice that is not in this study", code="regions-of-another-study")
    placed = [_placed(drawing, plane) for drawing in chosen]
    placed += _elsewhere(drawings, image, placed, planes, notes)
    named = [one for one in placed if one.label.kind in ("body", "csf")]
    unnamed = [one for one in placed if one.label.kind is None]
    others = len(placed) - len(named) - len(unnamed)
    if others:
        notes.append(
            Reason(code="regions-ignored", text=f"{others} regions are labelled as neither a vertebra nor CSF")
        )
    if any(one.label.kind == "body" for one in named):
        if unnamed:
            text = f"{len(unnamed)} regions without a level in their label were left out"
            notes.append(Reason(code="regions-unlabelled", text=text))
        return _labelled(image, named, notes)
    return _by_position(image, [*named, *unnamed], notes)


def _one_slice(drawings: Sequence[Drawing]) -> tuple[str | None, list[Drawing]]:
    """The slice that shows most of what is needed, and its regions."""
    if not drawings:
        raise NotAcceptable(
            "the file holds no closed region; draw ovals at L1 to L4 and in the CSF at L1 to L3", code="regions-none"
        )
    by_image: dict[str | None, list[Drawing]] = defaultdict(list)
    for drawing in drawings:
        by_image[drawing.image].append(drawing)
    usable = {image: sum(_useful(one) for one in rows) for image, rows in by_image.items()}
    image = max(by_image, key=lambda name: (usable[name], len(by_image[name]), -list(by_image).index(name)))
    return image, by_image[image]


def _elsewhere(
    drawings: Sequence[Drawing],
    image: str | None,
    here: Sequence[_Placed],
    planes: Mapping[str | None, Plane],
    notes: list[Reason],
) -> list[_Placed]:
    """Levels that are drawn on other slices alone, as in a curved spine; the same level is taken from one slice."""
    known = {one.label for one in here}
    taken: list[_Placed] = []
    left_out = 0
    for drawing in drawings:
        if drawing.image == image:
            continue
        label, plane = read_label(drawing.texts, drawing.codes), planes.get(drawing.image)
        if label.kind not in ("body", "csf") or label.level is None or label in known or plane is None:
            left_out += 1
            continue
        one = _placed(drawing, plane)
        taken.append(one._replace(ellipse=one.ellipse.but(sop_instance_uid=drawing.image)))
        known.add(label)
    if taken:
        text = f"{len(taken)} regions were drawn on slices of their own"
        notes.append(Reason(code="regions-on-several-slices", text=text))
    if left_out:
        text = f"{left_out} regions on other slices than the one that shows most levels were left out"
        notes.append(Reason(code="regions-left-out", text=text))
    return taken


def _useful(drawing: Drawing) -> bool:
    return read_label(drawing.texts, drawing.codes).kind in ("body", "csf")


def _placed(drawing: Drawing, plane: Plane) -> _Placed:
    label = read_label(drawing.texts, drawing.codes)
    try:
        if isinstance(drawing.shape, Oval):
            ellipse = ellipse_of_axes(*drawing.shape, plane.pixel_spacing_mm)
        else:
            ellipse = ellipse_of_outline(drawing.shape.rings, plane.rows, plane.columns, plane.pixel_spacing_mm)
    except NotMeasurable as error:
        where = " ".join(part for part in (label.level, "CSF" if label.kind == "csf" else None) if part)
        raise NotMeasurable(f"{where or 'a region'}: {error.detail}", code=error.reason_code) from error
    return _Placed(ellipse, label, plane.place(*ellipse.center))


def _labelled(image: str | None, named: Sequence[_Placed], notes: list[Reason]) -> RegionSet:
    levels: dict[Level, Ellipse] = {}
    csf: dict[Level, Ellipse] = {}
    bodies: dict[Level, Floats] = {}
    for one in named:
        if one.label.kind == "body" and one.label.level is not None:
            _put(levels, one.label.level, one.ellipse, "body")
            bodies[one.label.level] = one.at_mm
    lost = 0
    for one in (one for one in named if one.label.kind == "csf"):
        level = one.label.level or _beside(one.at_mm, bodies)
        if level is None:
            lost += 1
            continue
        if one.label.level is None:
            text = f"a CSF region without a level lies at {level} and counts as {level}"
            notes.append(Reason(code="csf-level-by-position", text=text))
        _put(csf, level, one.ellipse, "csf")
    if lost:
        notes.append(Reason(code="regions-ignored", text=f"{lost} CSF regions lie at none of the labelled vertebrae"))
    return RegionSet(sop_instance_uid=image, levels=levels, csf=csf, remarks=notes)


def _beside(at_mm: Floats, bodies: Mapping[Level, Floats]) -> Level | None:
    level = min(bodies, key=lambda name: abs(float(bodies[name][2] - at_mm[2])))
    return level if abs(float(bodies[level][2] - at_mm[2])) <= BESIDE_MM else None


def _put(regions: dict[Level, Ellipse], level: Level, ellipse: Ellipse, kind: Kind) -> None:
    if level in regions and regions[level] != ellipse:
        what = f"the CSF at {level}" if kind == "csf" else level
        raise NotAcceptable(f"{what} is drawn twice; keep one region for it", code="regions-duplicate")
    regions[level] = ellipse


def _by_position(image: str | None, placed: Sequence[_Placed], notes: list[Reason]) -> RegionSet:
    """Bodies are what has CSF behind it; four or five of them from the top count as L1 on."""
    fluid = [_is_fluid(one, placed) for one in placed]
    bodies = sorted((one for one, wet in zip(placed, fluid, strict=True) if not wet), key=lambda one: -one.at_mm[2])
    if not bodies:
        raise NotAcceptable(
            f"the file holds {sum(fluid)} CSF regions and no vertebral body; draw and label L1 to L4 too",
            code="regions-no-bodies",
        )
    if len(bodies) not in (4, 5) or not any(fluid):
        raise NotAcceptable(
            f"the regions carry no levels, and {len(bodies)} bodies and {sum(fluid)} CSF regions cannot be told apart "
            "by position; label them L1 to L4 and CSF L1 to CSF L3",
            code="regions-unlabelled",
        )
    names = dict(zip(NUMBERED, bodies, strict=False))
    text = f"the regions carry no levels; {len(bodies)} bodies were numbered from the top as L1 on: confirm the levels"
    centres = {level: one.at_mm for level, one in names.items()}
    csf: dict[Level, Ellipse] = {}
    for one in (one for one, wet in zip(placed, fluid, strict=True) if wet):
        level = _beside(one.at_mm, centres)
        if level is not None:
            _put(csf, level, one.ellipse, "csf")
    return RegionSet(
        sop_instance_uid=image,
        levels={level: one.ellipse for level, one in names.items()},
        csf=csf,
        unconfirmed=[Reason(code="levels-by-position", text=text)],
        remarks=notes,
    )


def _is_fluid(one: _Placed, others: Sequence[_Placed]) -> bool:
    """Labelled as CSF, or another region lies in front of it at its height (patient's y runs to the back)."""
    if one.label.kind == "csf":
        return True
    return any(
        BEHIND_MM[0] <= one.at_mm[1] - other.at_mm[1] <= BEHIND_MM[1]
        and abs(float(one.at_mm[2] - other.at_mm[2])) <= BESIDE_MM
        and other.label.kind != "csf"
        and other is not one
        and _covers(other, one)
        for other in others
    )


def _covers(body: _Placed, fluid: _Placed) -> bool:
    """Whether the fluid's centre lies at the body's height, by the larger semi-axis of the body."""
    return abs(float(body.at_mm[2] - fluid.at_mm[2])) <= max(body.ellipse.semi_axes_mm)
