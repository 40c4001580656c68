"""Segments of a DICOM segmentation (PS3.3 C.8.20): masks, placed by their own geometry; empty frames are left out."""

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from gateways.rois.frames import Frames, in_plane
from schemas.errors import NotAcceptable, NotMeasurable, TooLarge
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing, Outline, Plane
from vbq.imaging.polygon import Mask, mask_outline

MAX_PIXELS = 64 * 2**20
Frame = npt.NDArray[np.integer]


def drawings_of_segments(dataset: Dataset, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    """One drawing per segment and frame that holds any of it. Raises NotAcceptable, NotMeasurable or TooLarge."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count = int(dataset.get("NumberOfFrames") or 1)
    if rows * columns * count > MAX_PIXELS:
        raise TooLarge(f"the segmentation has more than {MAX_PIXELS >> 20} million pixels; leave out empty frames")
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if len(groups) != count:
        raise NotAcceptable("the segmentation does not say where its frames lie; write it again", code="regions-dicom")
    stored = np.asarray(dataset.pixel_array).reshape(count, rows, columns)
    labels = {int(segment.SegmentNumber): segment for segment in dataset.get("SegmentSequence") or []}
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    found: list[Drawing] = []
    elsewhere = 0
    for frame, group in zip(stored, groups, strict=True):
        if not frame.any():
            continue
        plane = _plane(group, shared, rows, columns)
        image = _image(group, shared, plane, frames)
        target = frames.plane(image) if image is not None else None
        if image is None or target is None:
            elsewhere += 1
            continue
        for number, mask in _segments(dataset, frame, group, shared):
            outline = mask_outline(_resampled(mask, plane, target))
            if outline:
                texts, codes = _label(labels.get(number))
                found.append(Drawing(Outline(outline), image, texts, codes))
    if elsewhere and not found:
        raise NotMeasurable(
            "the segmentation lies in no slice of this study; make it from the sagittal T1 series",
            code="regions-of-another-study",
        )
    text = f"{elsewhere} frames of the segmentation lie in no slice of this study and were left out"
    return found, [Reason(code="shapes-ignored", text=text)] if elsewhere else []


def _segments(dataset: Dataset, frame: Frame, group: Dataset, shared: Dataset) -> list[tuple[int, Mask]]:
    """(segment number, mask) of one frame: one segment, or all of a label map."""
    kind = str(dataset.get("SegmentationType", "BINARY"))
    if kind == "LABELMAP":
        return [(int(value), frame == value) for value in np.unique(frame) if value]
    identified = _group(group, shared, "SegmentIdentificationSequence")
    number = int(identified.ReferencedSegmentNumber) if identified is not None else 1
    if kind == "FRACTIONAL":
        return [(number, 2 * frame.astype(np.int64) >= int(dataset.get("MaximumFractionalValue") or 255))]
    return [(number, frame > 0)]


def _group(group: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    for place in (group, shared):
        rows = place.get(keyword) or []
        if rows:
            found: Dataset = rows[0]
            return found
    return None


def _plane(group: Dataset, shared: Dataset, rows: int, columns: int) -> Plane | None:
    position = _group(group, shared, "PlanePositionSequence")
    orientation = _group(group, shared, "PlaneOrientationSequence")
    measures = _group(group, shared, "PixelMeasuresSequence")
    if position is None or orientation is None or measures is None:
        return None
    x, y, z = (float(value) for value in position.ImagePositionPatient)
    a, b, c, d, e, f = (float(value) for value in orientation.ImageOrientationPatient)
    row_mm, column_mm = (float(value) for value in measures.PixelSpacing)
    if not np.isfinite([x, y, z, a, b, c, d, e, f]).all() or not (0.01 < row_mm < 50 and 0.01 < column_mm < 50):
        return None
    return Plane((x, y, z), (a, b, c, d, e, f), (row_mm, column_mm), rows, columns)


def _image(group: Dataset, shared: Dataset, plane: Plane | None, frames: Frames) -> str | None:
    """The slice that the frame was made from, where it says so and it is here; else the slice at its place."""
    derivation = _group(group, shared, "DerivationImageSequence")
    for source in (derivation.get("SourceImageSequence") or []) if derivation is not None else []:
        frame = source.get("ReferencedFrameNumber")
        number = frame[0] if isinstance(frame, (list, tuple)) else frame
        name = frames.name(str(source.get("ReferencedSOPInstanceUID", "")), int(number) if number else None)
        if frames.plane(name) is not None:
            return name
    return frames.parallel(plane, tolerance_mm=0.5) if plane is not None else None


def _resampled(mask: Mask, plane: Plane | None, target: Plane) -> Mask:
    """The mask on the slice's own grid: each pixel takes the segment's pixel that its centre lies in."""
    if plane is None or plane == target:
        if mask.shape != (target.rows, target.columns):
            raise NotAcceptable(
                "the segmentation has another size than its slice and no geometry; write it again", code="regions-dicom"
            )
        return mask
    r, c = np.mgrid[0 : target.rows, 0 : target.columns]
    corners = np.array([target.place(0, 0), target.place(1, 0), target.place(0, 1)])
    (r0, c0), (r1, c1), (r2, c2) = in_plane(plane, corners)
    at_row = np.rint(r0 + r * (r1 - r0) + c * (r2 - r0)).astype(np.int64)
    at_column = np.rint(c0 + r * (c1 - c0) + c * (c2 - c0)).astype(np.int64)
    inside = (at_row >= 0) & (at_row < plane.rows) & (at_column >= 0) & (at_column < plane.columns)
    out = np.zeros((target.rows, target.columns), dtype=np.bool_)
    out[inside] = mask[at_row[inside], at_column[inside]]
    return out


def _label(segment: Dataset | None) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    if segment is None:
        return (), ()
    texts = [str(segment.get(keyword, "")) for keyword in ("SegmentLabel", "SegmentDescription", "TrackingID")]
    codes = []
    for keyword in ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence"):
        for code in segment.get(keyword) or []:
            texts.append(str(code.get("CodeMeaning", "")))
            codes.append((str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeValue", ""))))
    return tuple(texts), tuple(codes)
