"""ImageJ regions: one .roi, or a .zip of them. They name no image: the slice is given with them or chosen.

ImageJ's area selections have (0, 0) at the top left corner of the first pixel, as DICOM has: half a pixel off ours.
A rotated ellipse is stored as a freehand polygon with its axis and aspect ratio in the header, which roifile leaves
out, so they are read here (ij.io.RoiDecoder: x1, y1, x2, y2 at 18, aspect ratio at 52).
"""

import io
import math
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

from schemas.errors import NotAcceptable, TooLarge
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing, Outline, Oval
from vbq.imaging.polygon import Point

MAX_ENTRIES = 500
MAX_ROI_BYTES = 2**20
AXIS_AT, ASPECT_AT = 18, 52


def drawings_of_imagej(data: bytes, stem: str, image: str | None) -> tuple[list[Drawing], list[Reason]]:
    """All area selections. Raises NotAcceptable for what is no ImageJ file, TooLarge beyond bounds."""
    found: list[Drawing] = []
    skipped = on_stack = 0
    for name, content in _entries(data, stem):
        try:
            label, shape, place = _shape(content)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error, MemoryError) as error:
            raise NotAcceptable(
                "an ImageJ region cannot be read; save it again in ImageJ", code="regions-imagej"
            ) from error
        if shape is None:
            skipped += 1
            continue
        on_stack += bool(place)
        found.append(Drawing(shape, image, (label or name,)))
    remarks = []
    if skipped:
        text = f"{skipped} points, lines and other selections without an area were left out"
        remarks.append(Reason(code="shapes-ignored", text=text))
    if on_stack and image is None:
        text = "the regions name a place in ImageJ's stack, which is no DICOM slice; name the slice with --slice"
        remarks.append(Reason(code="stack-position", text=text))
    return found, remarks


def _entries(data: bytes, stem: str) -> Iterator[tuple[str, bytes]]:
    if data[:4] == b"Iout":
        yield stem, data
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if _is_region(entry.filename)]
            if len(entries) > MAX_ENTRIES:
                raise TooLarge(f"the zip holds more than {MAX_ENTRIES} regions")
            for entry in entries:
                with archive.open(entry) as file:
                    content = file.read(MAX_ROI_BYTES + 1)
                if len(content) > MAX_ROI_BYTES:
                    raise TooLarge(f"a region in the zip is larger than {MAX_ROI_BYTES >> 20} MiB")
                yield entry.filename.rsplit("/", 1)[-1][:-4], content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise NotAcceptable("the regions file is no zip that can be read", code="regions-imagej") from error


def _is_region(name: str) -> bool:
    """An ImageJ region by its name, in whatever folder; what macOS adds beside files ("._L1.roi") is none."""
    return name.lower().endswith(".roi") and not name.rsplit("/", 1)[-1].startswith("._")


def _shape(content: bytes) -> tuple[str, Oval | Outline | None, int]:
    """(name, shape or None where the selection has no area, place in ImageJ's stack)."""
    import roifile  # with its dependencies 0.1 s

    roi = roifile.ImagejRoi.frombytes(content)
    label, place = str(roi.name or ""), int(roi.position or roi.z_position or 0)
    kind, subtype = roi.roitype, roi.subtype
    kinds, subtypes = roifile.ROI_TYPE, roifile.ROI_SUBTYPE
    if roi.composite:
        rings = [_ring(path) for path in roi.coordinates(multi=True)]
        return label, Outline([ring for ring in rings if len(ring) >= 3]), place
    if kind == kinds.FREEHAND and subtype == subtypes.ELLIPSE:
        return label, _rotated(content), place
    if kind == kinds.OVAL:
        top, left, bottom, right = _box(roi)
        center = (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5
        return label, Oval(center, ((bottom - top) / 2, 0.0), (0.0, (right - left) / 2)), place
    if kind == kinds.RECT and not roi.rounded_rect_arc_size:
        top, left, bottom, right = (value - 0.5 for value in _box(roi))
        return label, Outline([[(top, left), (top, right), (bottom, right), (bottom, left)]]), place
    if kind in (kinds.POLYGON, kinds.FREEHAND, kinds.TRACED):
        return label, Outline([_ring(roi.coordinates())]), place
    return label, None, place


def _ring(points: Any) -> list[Point]:
    """`points` (n, 2) as roifile gives them: x, y from the image's corner."""
    ring = [(float(y) - 0.5, float(x) - 0.5) for x, y in points]
    return ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring


def _box(roi: Any) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) from the image's corner, with sub-pixel precision where the file has it."""
    if roi.subpixelrect:
        return float(roi.yd), float(roi.xd), float(roi.yd + roi.heightd), float(roi.xd + roi.widthd)
    return float(roi.top), float(roi.left), float(roi.bottom), float(roi.right)


def _rotated(content: bytes) -> Oval:
    x1, y1, x2, y2 = struct.unpack_from(">4f", content, AXIS_AT)
    aspect = float(struct.unpack_from(">f", content, ASPECT_AT)[0])
    if not all(map(math.isfinite, (x1, y1, x2, y2, aspect))):
        raise ValueError("not finite")
    half = (y2 - y1) / 2, (x2 - x1) / 2
    center = (y1 + y2) / 2 - 0.5, (x1 + x2) / 2 - 0.5
    return Oval(center, half, (half[1] * aspect, -half[0] * aspect))
