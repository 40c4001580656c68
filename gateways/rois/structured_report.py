"""Regions of a structured report (PS3.16 TID 1500 and what dcmjs, OHIF and highdicom make of it), read leniently.

SCOORD is (column, row) with (0, 0) at the top left corner of the first pixel (PS3.3 C.18.6.1.2): half a pixel off ours.
An ellipse is given by the ends of two axes; some programs order them otherwise, so axes are found by their midpoints.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pydicom import Dataset

from gateways.rois.frames import Frames, in_plane
from schemas.errors import NotAcceptable, TooLarge
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing, Outline, Oval
from vbq.imaging.labels import read_label
from vbq.imaging.polygon import MAX_VERTICES, Point
from vbq.imaging.volume import Floats

MAX_ITEMS = 20_000
MEASUREMENT_GROUP = "125007"
LABELS = frozenset(
    {
        "112039",  # DCM Tracking Identifier
        "121071",  # DCM Finding
        "363698007",  # SCT Finding Site
        "G-C0E3",  # SRT Finding Site
        "276214006",  # SCT Finding category
        "106233006",  # SCT Topographical modifier
        "125309",  # DCM Short label
        "111030",  # DCM Image Region
        "121106",  # DCM Comment
    }
)
COUNTS, NO = "VBQ-COUNTS", "373067005"  # of gateways.dicom.evidence; SCT No
AXES = {"CIRCLE": 2, "ELLIPSE": 4}  # points that give it
ASKEW_PX, ASKEW_SHARE = 1.0, 0.1  # that the midpoints of an ellipse's axes may lie apart
SHAPES = frozenset({"ELLIPSE", "CIRCLE", "POLYLINE", "POLYGON"})


class _Group(NamedTuple):
    """What one measurement group says of all its regions."""

    texts: tuple[str, ...]
    codes: tuple[tuple[str, str], ...]
    counts: bool = True
    """False where our own report says that the region does not count in the score."""


def drawings_of_report(dataset: Dataset, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    """All closed regions of the content tree; a region that several measurements share counts once."""
    found: dict[object, Drawing] = {}
    skipped = 0
    uncounted: set[str] = set()
    for item, group in _coordinates(dataset):
        if not group.counts:
            uncounted.add(_name(group) or "a region")
            continue
        drawing = _drawing(item, group, frames)
        if drawing is None:
            skipped += 1
        else:
            found[repr((drawing.shape, drawing.image, drawing.texts))] = drawing
    text = f"{skipped} points, lines and other open shapes of the report were left out"
    remarks = [Reason(code="shapes-ignored", text=text)] if skipped else []
    if uncounted:
        text = f"left out, as the report says that they do not count: {', '.join(sorted(uncounted))}"
        remarks.append(Reason(code="regions-not-counting", text=text))
    return list(found.values()), remarks


def _coordinates(dataset: Dataset) -> Iterator[tuple[Dataset, _Group]]:
    """SCOORD and SCOORD3D items with the labels of the measurement group around them."""
    waiting = deque([(dataset, _Group((), ()))])
    seen = 0
    while waiting:
        item, group = waiting.popleft()
        seen += 1
        if seen > MAX_ITEMS:
            raise TooLarge(f"the report has more than {MAX_ITEMS} content items; keep the regions of one reader")
        children = list(item.get("ContentSequence") or [])
        if _concept(item) == MEASUREMENT_GROUP or item.get("ValueType") == "NUM":
            group = _labels(children, group)
        if item.get("ValueType") in ("SCOORD", "SCOORD3D"):
            own = _concept_meaning(item)
            yield item, group._replace(texts=(*group.texts, own)) if own else group
        waiting.extend((child, group) for child in children)


def _labels(children: list[Dataset], outer: _Group) -> _Group:
    texts, codes, counts = list(outer.texts), list(outer.codes), outer.counts
    for child in children:
        if _concept(child) == COUNTS:
            counts &= all(str(code.get("CodeValue", "")) != NO for code in child.get("ConceptCodeSequence") or [])
        if _concept(child) not in LABELS:
            continue
        if child.get("ValueType") == "TEXT":
            texts.append(str(child.get("TextValue", "")))
        for code in child.get("ConceptCodeSequence") or []:
            texts.append(str(code.get("CodeMeaning", "")))
            codes.append((str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeValue", ""))))
        nested = _labels(list(child.get("ContentSequence") or []), _Group((), ()))  # modifiers of a site
        texts += nested.texts
        codes += nested.codes
    return _Group(tuple(texts), tuple(codes), counts)


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or []
    return str(names[0].get("CodeValue", "")) if names else ""


def _concept_meaning(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or []
    return str(names[0].get("CodeMeaning", "")) if names else ""


def _drawing(item: Dataset, group: _Group, frames: Frames) -> Drawing | None:
    kind = str(item.get("GraphicType", ""))
    if kind not in SHAPES:
        return None
    values = graphic_data(item)
    width = 3 if item.get("ValueType") == "SCOORD3D" else 2
    if values.size < 2 * width or values.size % width or not np.isfinite(values).all():
        raise _broken(kind, group)
    if values.size > MAX_VERTICES * width:
        raise TooLarge(f"a region of the report has more than {MAX_VERTICES} points; draw it with fewer")
    if kind in AXES and values.size != AXES[kind] * width:
        raise _broken(kind, group)
    points = values.reshape(-1, width)
    image = _image(item, frames)
    if width == 3:
        image = frames.through(points, image)
        plane = frames.plane(image)
        assert plane is not None, "Frames.through names slices that have a plane"
        places = in_plane(plane, points)
    else:
        places = [(float(row) - 0.5, float(column) - 0.5) for column, row in points]
    shape = shape_of(kind, places)
    return Drawing(shape, image, group.texts, group.codes) if shape is not None else None


def _name(group: _Group) -> str:
    label = read_label(group.texts, group.codes)
    return " ".join(part for part in ("CSF" if label.kind == "csf" else None, label.level) if part)


def _broken(kind: str, group: _Group) -> NotAcceptable:
    """Says which region by the level in its label; a label's own text may name a person."""
    named = f"{_name(group)} {kind}".strip()
    return NotAcceptable(
        f"a region of the report ({named}) has coordinates that are incomplete or no numbers; draw it again",
        code="regions-coordinates",
    )


def graphic_data(item: Dataset) -> Floats:
    """The numbers of GraphicData. Beyond 64 KiB Explicit VR has no room for the length and writers say UN."""
    data = item.get("GraphicData") or []
    if isinstance(data, bytes):
        return np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4").astype(np.float64)
    return np.asarray(data, dtype=np.float64)


def _image(item: Dataset, frames: Frames) -> str | None:
    for child in item.get("ContentSequence") or []:
        for reference in child.get("ReferencedSOPSequence") or []:
            uid = reference.get("ReferencedSOPInstanceUID")
            frame = reference.get("ReferencedFrameNumber")
            number = frame[0] if isinstance(frame, (list, tuple)) else frame
            return frames.name(str(uid), int(number) if number else None)
    return None


def shape_of(kind: str, places: list[Point]) -> Oval | Outline | None:
    """An oval or outline from graphic data, (row, column) in pixels; None where its points are too few."""
    points = np.array(places)
    if kind == "CIRCLE" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return Oval(places[0], (radius, 0.0), (0.0, radius))
    if kind == "ELLIPSE" and len(points) == 4:
        return _ellipse(points)
    if kind in ("POLYLINE", "POLYGON", "INTERPOLATED"):
        ring = places[:-1] if len(places) > 1 and places[0] == places[-1] else places
        return Outline([ring]) if len(ring) >= 3 else None
    return None


def _ellipse(points: Floats) -> Oval:
    """Opposite ends are those with the same midpoint, however the program ordered them."""
    orders = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]

    def apart(order: tuple[tuple[int, int], tuple[int, int]]) -> float:
        (a, b), (c, d) = order
        return float(np.hypot(*((points[a] + points[b]) - (points[c] + points[d]))))

    (a, b), (c, d) = min(orders, key=apart)
    center = points.mean(axis=0)
    first, second = (points[b] - points[a]) / 2, (points[d] - points[c]) / 2
    if apart(((a, b), (c, d))) / 2 > max(ASKEW_PX, ASKEW_SHARE * float(np.hypot(*first) + np.hypot(*second))):
        raise NotAcceptable(
            "the four points of an ellipse are not the ends of two axes with one centre; draw it again",
            code="regions-coordinates",
        )
    return Oval(
        (float(center[0]), float(center[1])),
        (float(first[0]), float(first[1])),
        (float(second[0]), float(second[1])),
    )
