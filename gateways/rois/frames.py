"""The study's slices as regions refer to them: by SOP Instance UID and frame, or by where they lie in the patient."""

from collections.abc import Mapping, Sequence

import numpy as np

from gateways.dicom.headers import Instance
from gateways.dicom.study import StudyFiles
from schemas.errors import NotAcceptable, NotMeasurable
from vbq.imaging.drawn import Drawing, Plane
from vbq.imaging.polygon import Point
from vbq.imaging.series import choose_series
from vbq.imaging.volume import Floats, normal_of

SAME_PLANE = 0.999  # cosine of about two and a half degrees
OFF_PLANE_MM = 1.0
OFF_PLANE_SHARE = 0.55  # of the distance to the next slice


class Frames:
    """Slices of a study, those of the series that would be measured first."""

    def __init__(self, files: StudyFiles, image: str | None = None) -> None:
        chosen = choose_series(files.study.series, sop_instance_uid=image).header
        self._spacing_mm = {header.uid: header.slice_spacing_mm for header in files.study.series}
        uids = sorted(files.instances, key=lambda uid: chosen is None or uid != chosen.uid)
        self._rows = [row for uid in uids for row in files.instances[uid] if plane_of(row) is not None]
        self._by_id = {row.slice_uid: row for row in reversed(self._rows)}
        self._image = image

    def name(self, sop_instance_uid: str, frame: int | None = None) -> str:
        """The slice's name here: the SOP Instance UID, with the frame's number where the file has several."""
        with_frame = f"{sop_instance_uid}#{frame or 1}"
        return with_frame if with_frame in self._by_id else sop_instance_uid

    def plane(self, name: str | None) -> Plane | None:
        """The plane of a slice; of any slice of the series that would be measured where the file names none."""
        if name is None:
            return plane_of(self._rows[0]) if self._rows else None
        row = self._by_id.get(name)
        return plane_of(row) if row is not None else None

    def planes(self, drawings: Sequence[Drawing]) -> Mapping[str | None, Plane]:
        """The planes of all slices that `drawings` name."""
        found = {drawing.image: self.plane(drawing.image) for drawing in drawings}
        return {name: plane for name, plane in found.items() if plane is not None}

    def through(self, points_mm: Floats, named: str | None = None) -> str:
        """The slice that points (n, 3) in patient mm lie in, `named` if that fits. Raises NotMeasurable."""
        rows = [self._by_id[named]] if named in self._by_id else self._rows
        best = min(rows, key=lambda row: _distance(row, points_mm), default=None)
        if best is not None:
            gap = self._spacing_mm.get(best.series_uid) or 0.0
            if _distance(best, points_mm) <= max(OFF_PLANE_MM, OFF_PLANE_SHARE * gap):
                return best.slice_uid
        raise NotMeasurable(
            "a region lies in no slice of this study; draw it on the sagittal T1 series",
            code="regions-of-another-study",
        )

    def parallel(self, plane: Plane, tolerance_mm: float) -> str | None:
        """The slice at the place of `plane`, within a tolerance along the normal; None where there is none."""
        near = []
        for row in self._rows:
            own = plane_of(row)
            if own is None or abs(float(normal_of(own.orientation) @ normal_of(plane.orientation))) < SAME_PLANE:
                continue
            gap = abs(float(normal_of(own.orientation) @ (np.array(plane.position_mm) - np.array(own.position_mm))))
            if gap <= tolerance_mm:
                near.append((round(gap, 3), row.slice_uid))
        return min(near, key=lambda pair: pair[0])[1] if near else None


def slice_named(files: StudyFiles, text: str) -> str:
    """The slice that a person names: by its UID, or by its number in the order of position, from 0.

    Raises NotAcceptable where the study has no such slice.
    """
    header = choose_series(files.study.series, sop_instance_uid=text).header
    rows = [] if header is None else [row for row in files.instances[header.uid] if row.position_mm and row.orientation]
    if any(row.slice_uid == text for row in rows):
        return text
    if text.isdecimal() and rows and rows[0].orientation is not None:
        normal = normal_of(rows[0].orientation)
        rows.sort(key=lambda row: float(normal @ np.asarray(row.position_mm)))
        if int(text) < len(rows):
            return rows[int(text)].slice_uid
    raise NotAcceptable(
        f"the series that is measured has no such slice; give its SOP Instance UID, or 0 to {max(len(rows) - 1, 0)}",
        code="slice-unknown",
    )


def plane_of(row: Instance) -> Plane | None:
    """The plane of an instance; None where its header lacks position, orientation or spacing."""
    if row.position_mm is None or row.orientation is None or row.pixel_spacing_mm is None:
        return None
    return Plane(row.position_mm, row.orientation, row.pixel_spacing_mm, row.rows, row.columns)


def in_plane(plane: Plane, points_mm: Floats) -> list[Point]:
    """(row, column) in pixels of points (n, 3) in patient mm, dropped onto the plane."""
    offset = points_mm - np.array(plane.position_mm)
    column = offset @ np.array(plane.orientation[:3]) / plane.pixel_spacing_mm[1]
    row = offset @ np.array(plane.orientation[3:]) / plane.pixel_spacing_mm[0]
    return [(float(r), float(c)) for r, c in zip(row, column, strict=True)]


def _distance(row: Instance, points_mm: Floats) -> float:
    """The farthest that any of the points lies off the slice's plane, mm."""
    if row.position_mm is None or row.orientation is None:
        return float("inf")
    return float(np.abs((points_mm - np.array(row.position_mm)) @ normal_of(row.orientation)).max())
