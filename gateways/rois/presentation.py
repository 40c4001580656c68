"""Regions of a greyscale softcopy presentation state (PS3.3 C.10.5): its graphic annotations.

PIXEL: (column, row), (0, 0) at the top left corner of the first pixel. DISPLAY: shares of the displayed area, whose
corners are pixels counted from 1 (PS3.3 C.10.4). Texts of the same annotation are the region's label.
"""

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset

from gateways.rois.frames import Frames
from gateways.rois.structured_report import graphic_data, shape_of
from schemas.errors import NotAcceptable
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing
from vbq.imaging.volume import Floats


def drawings_of_presentation(dataset: Dataset, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    """All closed shapes of all annotations. Raises NotAcceptable for units that cannot be placed."""
    found: list[Drawing] = []
    skipped = 0
    for annotation in dataset.get("GraphicAnnotationSequence") or []:
        texts = _texts(annotation)
        graphics = list(annotation.get("GraphicObjectSequence") or [])
        for graphic in graphics:
            kind = str(graphic.get("GraphicType", ""))
            for image in _images(annotation, dataset, frames):
                places = _places(graphic, dataset, image[1])
                shape = shape_of(kind, places) if _closed(graphic, kind) else None
                if shape is None:
                    skipped += 1
                else:
                    found.append(Drawing(shape, image[0], texts if len(graphics) == 1 else _one(texts, graphic)))
    text = f"{skipped} points, lines and other open shapes of the presentation state were left out"
    return found, [Reason(code="shapes-ignored", text=text)] if skipped else []


def _closed(graphic: Dataset, kind: str) -> bool:
    """A polyline is a region where it returns to its start or is filled."""
    if kind not in ("POLYLINE", "INTERPOLATED"):
        return True
    data = list(graphic.get("GraphicData") or [])
    return data[:2] == data[-2:] or graphic.get("GraphicFilled") == "Y"


def _texts(annotation: Dataset) -> tuple[str, ...]:
    rows = annotation.get("TextObjectSequence") or []
    return tuple(str(row.get("UnformattedTextValue", "")) for row in rows)


def _one(texts: tuple[str, ...], graphic: Dataset) -> tuple[str, ...]:
    """Of an annotation with several graphics only a graphic's own group label says which it is."""
    own = str(graphic.get("GraphicGroupID", ""))
    return tuple(text for text in texts if own and text.startswith(own))


def _images(annotation: Dataset, dataset: Dataset, frames: Frames) -> Iterator[tuple[str, str]]:
    """(name here, SOP Instance UID) of the images that an annotation lies on; of the only image where it names none."""
    references = list(annotation.get("ReferencedImageSequence") or [])
    if not references:
        series = dataset.get("ReferencedSeriesSequence") or []
        references = [row for one in series for row in one.get("ReferencedImageSequence") or []]
        if len(references) > 1:
            raise NotAcceptable(
                "an annotation of the presentation state names no image and the state has several; draw it on one",
                code="regions-image",
            )
    for row in references:
        uid = str(row.get("ReferencedSOPInstanceUID", ""))
        frame = row.get("ReferencedFrameNumber")
        number = frame[0] if isinstance(frame, (list, tuple)) else frame
        yield frames.name(uid, int(number) if number else None), uid


def _places(graphic: Dataset, dataset: Dataset, uid: str) -> list[tuple[float, float]]:
    values = graphic_data(graphic)
    if values.size < 4 or values.size % 2 or not np.isfinite(values).all():
        return []
    points = values.reshape(-1, 2)
    units = str(graphic.get("GraphicAnnotationUnits", ""))
    if units == "DISPLAY":
        points = _on_image(points, dataset, uid)
    elif units != "PIXEL":
        raise NotAcceptable(
            "an annotation's units are neither PIXEL nor DISPLAY; write them in PIXEL units", code="regions-units"
        )
    return [(float(row) - 0.5, float(column) - 0.5) for column, row in points]


def _on_image(points: Floats, dataset: Dataset, uid: str) -> Floats:
    """Shares of the displayed area as (column, row) from the image's corner."""
    if int(dataset.get("ImageRotation") or 0) % 360 or dataset.get("ImageHorizontalFlip") == "Y":
        raise NotAcceptable(
            "annotations in DISPLAY units on a rotated or flipped image are not read; write them in PIXEL units",
            code="regions-units",
        )
    areas = list(dataset.get("DisplayedAreaSelectionSequence") or [])
    own = [
        area
        for area in areas
        if any(row.get("ReferencedSOPInstanceUID") == uid for row in area.get("ReferencedImageSequence") or [])
    ]
    if not (own or areas):
        raise NotAcceptable("the presentation state has no displayed area; write PIXEL units", code="regions-units")
    area = (own or areas)[0]
    corner = np.array([float(v) for v in area.DisplayedAreaTopLeftHandCorner]) - 1.0
    end = np.array([float(v) for v in area.DisplayedAreaBottomRightHandCorner])
    return np.asarray(corner + points * (end - corner), dtype=np.float64)
