"""Contours of an RT structure set (PS3.3 C.8.8.6): polygons in patient millimetres, one name per structure."""

from collections import defaultdict

import numpy as np
from pydicom import Dataset

from gateways.rois.frames import Frames, in_plane
from schemas.errors import NotMeasurable
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing, Outline
from vbq.imaging.polygon import Ring, with_edge_pixels

CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})


def drawings_of_structures(dataset: Dataset, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    """One drawing per structure and slice. Contours elsewhere than on the study's slices are left out and counted.

    rt-utils draws through the centres of the outermost pixels: there these pixels belong to the region.
    """
    names = {int(row.ROINumber): _name(row) for row in dataset.get("StructureSetROISequence") or []}
    through_centres = str(dataset.get("ManufacturerModelName", "")).lower() == "rt-utils"
    found: list[Drawing] = []
    elsewhere = skipped = 0
    for structure in dataset.get("ROIContourSequence") or []:
        rings: dict[str, list[Ring]] = defaultdict(list)
        for contour in structure.get("ContourSequence") or []:
            if str(contour.get("ContourGeometricType", "")) not in CLOSED:
                skipped += 1
                continue
            points = np.asarray(contour.get("ContourData") or [], dtype=np.float64).reshape(-1, 3)
            if len(points) < 3 or not np.isfinite(points).all():
                skipped += 1
                continue
            try:
                image = frames.through(points, _image(contour, frames))
            except NotMeasurable:
                elsewhere += 1
                continue
            plane = frames.plane(image)
            assert plane is not None, "Frames.through names slices that have a plane"
            rings[image].append(in_plane(plane, points))
        texts = names.get(int(structure.get("ReferencedROINumber", -1)), ())
        for image, drawn in rings.items():
            found.append(Drawing(Outline(with_edge_pixels(drawn) if through_centres else drawn), image, texts))
    if elsewhere and not found:
        raise NotMeasurable(
            "the contours lie in no slice of this study; draw them on the sagittal T1 series",
            code="regions-of-another-study",
        )
    remarks = [
        (skipped, "contours that are points or open lines were left out"),
        (elsewhere, "contours lie in no slice of this study and were left out"),
    ]
    return found, [Reason(code="shapes-ignored", text=f"{count} {text}") for count, text in remarks if count]


def _name(row: Dataset) -> tuple[str, ...]:
    return tuple(str(row.get(keyword, "")) for keyword in ("ROIName", "ROIDescription"))


def _image(contour: Dataset, frames: Frames) -> str | None:
    for reference in contour.get("ContourImageSequence") or []:
        frame = reference.get("ReferencedFrameNumber")
        number = frame[0] if isinstance(frame, (list, tuple)) else frame
        return frames.name(str(reference.get("ReferencedSOPInstanceUID", "")), int(number) if number else None)
    return None
