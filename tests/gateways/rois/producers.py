"""The same regions as other programs would write them, made from a RegionSet of a phantom."""

import math
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roifile
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from gateways.dicom.headers import Instance
from gateways.dicom.study import StudyFiles
from schemas.measurement import Ellipse, RegionSet
from vbq.imaging.drawn import Plane
from vbq.imaging.regions import mask_of

SR, GSPS, RTSTRUCT = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.481.3")


class Drawn:
    """A phantom's regions and the slice they lie on."""

    def __init__(self, files: StudyFiles, regions: RegionSet) -> None:
        self.files, self.regions = files, regions
        rows = [row for rows in files.instances.values() for row in rows]
        self.row: Instance = next(row for row in rows if row.sop_instance_uid == regions.sop_instance_uid)
        self.header = dcmread(self.row.path)
        assert self.row.position_mm
        assert self.row.orientation
        assert self.row.pixel_spacing_mm
        self.spacing = self.row.pixel_spacing_mm
        self.plane = Plane(self.row.position_mm, self.row.orientation, self.spacing, self.row.rows, self.row.columns)

    def named(self) -> list[tuple[str, Ellipse]]:
        bodies = [(level, ellipse) for level, ellipse in self.regions.levels.items()]
        return bodies + [(f"CSF {level}", ellipse) for level, ellipse in self.regions.csf.items()]

    def axes(self, ellipse: Ellipse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre and half-axes as (column, row) from the image's corner, the longer first."""
        (a, b), angle = ellipse.semi_axes_mm, math.radians(ellipse.angle_deg)
        row_mm, column_mm = self.spacing
        along = np.array([a * math.cos(angle) / column_mm, a * math.sin(angle) / row_mm])
        across = np.array([-b * math.sin(angle) / column_mm, b * math.cos(angle) / row_mm])
        center = np.array([ellipse.center[1] + 0.5, ellipse.center[0] + 0.5])
        return (center, along, across) if a >= b else (center, across, along)

    def polygon(self, ellipse: Ellipse, count: int = 180) -> np.ndarray:
        """(count, 2) columns and rows from the image's corner."""
        center, major, minor = self.axes(ellipse)
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
        return np.asarray(center + np.cos(turn) * major + np.sin(turn) * minor)

    def mask(self, ellipse: Ellipse) -> np.ndarray:
        rows, columns, inside = mask_of(ellipse, self.row.rows, self.row.columns, self.spacing)
        mask = np.zeros((self.row.rows, self.row.columns), dtype=bool)
        mask[rows, columns] = inside
        return mask


def base(sop_class: str, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "2.25.77"
    dataset.Modality = modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.9", "2.25.78"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def scoord(drawn: Drawn, ellipse: Ellipse, graphic: str) -> tuple[str, list[float]]:
    center, major, minor = drawn.axes(ellipse)
    if graphic == "ellipse":
        points = [center - major, center + major, center - minor, center + minor]
        return "ELLIPSE", [float(v) for v in np.concatenate(points)]
    if graphic == "ellipse-reordered":  # the ends of the shorter axis first
        points = [center - minor, center + minor, center + major, center - major]
        return "ELLIPSE", [float(v) for v in np.concatenate(points)]
    if graphic == "ellipse-around":  # neighbouring ends beside one another
        points = [center - major, center - minor, center + major, center + minor]
        return "ELLIPSE", [float(v) for v in np.concatenate(points)]
    ring = drawn.polygon(ellipse)
    return "POLYLINE", [float(v) for v in np.vstack([ring, ring[:1]]).ravel()]


def dcmjs_report(drawn: Drawn, path: Path, graphic: str, labels: str) -> Path:
    """As dcmjs and OHIF write it: the region below a NUM, the label as free-text finding, site code or tracking id."""
    groups = []
    for name, ellipse in drawn.named():
        kind, data = scoord(drawn, ellipse, graphic)
        image = item(
            RelationshipType="SELECTED FROM",
            ValueType="IMAGE",
            ReferencedSOPSequence=[
                item(
                    ReferencedSOPClassUID=drawn.header.SOPClassUID, ReferencedSOPInstanceUID=drawn.row.sop_instance_uid
                )
            ],
        )
        region = item(
            RelationshipType="INFERRED FROM",
            ValueType="SCOORD",
            GraphicType=kind,
            GraphicData=data,
            ContentSequence=[image],
        )
        area = item(
            RelationshipType="CONTAINS",
            ValueType="NUM",
            ConceptNameCodeSequence=code("G-D7FE", "SRT", "AREA"),
            ContentSequence=[region],
        )
        tracking = item(
            RelationshipType="HAS OBS CONTEXT",
            ValueType="TEXT",
            ConceptNameCodeSequence=code("112039", "DCM", "Tracking Identifier"),
            TextValue=name if labels == "tracking" else "cornerstoneTools@^4.0.0:EllipticalRoi",
        )
        found = [] if labels in ("tracking", "none") else _labels(name, labels)
        groups.append(
            item(
                RelationshipType="CONTAINS",
                ValueType="CONTAINER",
                ConceptNameCodeSequence=code("125007", "DCM", "Measurement Group"),
                ContentSequence=[tracking, *found, area, area],
            )
        )
    report = base(SR, "SR")
    report.ValueType = "CONTAINER"
    report.ConceptNameCodeSequence = code("126000", "DCM", "Imaging Measurement Report")
    measurements = item(
        RelationshipType="CONTAINS",
        ValueType="CONTAINER",
        ConceptNameCodeSequence=code("126010", "DCM", "Imaging Measurements"),
        ContentSequence=groups,
    )
    report.ContentSequence = [measurements]
    return save(report, path)


SITES = {"L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002"}


def _labels(name: str, labels: str) -> list[Dataset]:
    """A free-text finding as OHIF writes it, or SNOMED codes alone."""
    finding = code("CORNERSTONEFREETEXT", "CST4", name)
    sites = []
    if labels == "codes":
        is_csf = name.startswith("CSF")
        finding = code("65216001", "SCT", "a") if is_csf else code("14016003", "SCT", "b")
        sites = [
            item(
                RelationshipType="HAS CONCEPT MOD",
                ValueType="CODE",
                ConceptNameCodeSequence=code("363698007", "SCT", "Finding Site"),
                ConceptCodeSequence=code(SITES[name[-2:]], "SCT", "c"),
            )
        ]
    return [
        item(
            RelationshipType="CONTAINS",
            ValueType="CODE",
            ConceptNameCodeSequence=code("121071", "DCM", "Finding"),
            ConceptCodeSequence=finding,
        ),
        *sites,
    ]


def report_3d(drawn: Drawn, path: Path) -> Path:
    """SCOORD3D polygons in patient coordinates, without any image."""
    groups = []
    for name, ellipse in drawn.named():
        region = item(
            RelationshipType="CONTAINS",
            ValueType="SCOORD3D",
            ConceptNameCodeSequence=code("111030", "DCM", "Image Region"),
            GraphicType="POLYGON",
            GraphicData=[float(v) for v in _in_patient(drawn, ellipse, closed=True).ravel()],
            ReferencedFrameOfReferenceUID=drawn.header.FrameOfReferenceUID,
        )
        tracking = item(
            RelationshipType="HAS OBS CONTEXT",
            ValueType="TEXT",
            ConceptNameCodeSequence=code("112039", "DCM", "Tracking Identifier"),
            TextValue=name,
        )
        groups.append(
            item(
                RelationshipType="CONTAINS",
                ValueType="CONTAINER",
                ConceptNameCodeSequence=code("125007", "DCM", "Measurement Group"),
                ContentSequence=[tracking, region],
            )
        )
    report = base("1.2.840.10008.5.1.4.1.1.88.34", "SR")
    report.ContentSequence = groups
    return save(report, path)


def _in_patient(drawn: Drawn, ellipse: Ellipse, *, closed: bool) -> np.ndarray:
    ring = drawn.polygon(ellipse) - 0.5
    points = np.array([drawn.plane.place(row, column) for column, row in ring])
    return np.vstack([points, points[:1]]) if closed else points


def presentation(drawn: Drawn, path: Path, units: str) -> Path:
    """A presentation state that shows a part of the image, one annotation with a text per region."""
    rows, columns = drawn.row.rows, drawn.row.columns
    reference = item(
        ReferencedSOPClassUID=drawn.header.SOPClassUID, ReferencedSOPInstanceUID=drawn.row.sop_instance_uid
    )
    top_left, bottom_right = (11, 5), (columns - 6, rows - 3)  # column, row; counted from 1
    annotations = []
    for number, (name, ellipse) in enumerate(drawn.named()):
        kind, data = scoord(drawn, ellipse, "ellipse" if number % 2 else "polyline")
        points = np.array(data).reshape(-1, 2)
        if units == "DISPLAY":
            corner = np.array(top_left) - 1.0
            points = (points - corner) / (np.array(bottom_right) - corner)
        graphic = item(
            GraphicAnnotationUnits=units,
            GraphicDimensions=2,
            NumberOfGraphicPoints=len(points),
            GraphicData=[float(v) for v in points.ravel()],
            GraphicType=kind,
            GraphicFilled="N",
        )
        text = item(UnformattedTextValue=name, AnchorPoint=[0.0, 0.0], AnchorPointVisibility="N")
        annotations.append(
            item(
                GraphicLayer="REGIONS",
                ReferencedImageSequence=[reference],
                GraphicObjectSequence=[graphic],
                TextObjectSequence=[text],
            )
        )
    state = base(GSPS, "PR")
    state.ReferencedSeriesSequence = [item(ReferencedImageSequence=[reference], SeriesInstanceUID=drawn.row.series_uid)]
    state.GraphicAnnotationSequence = annotations
    state.DisplayedAreaSelectionSequence = [
        item(
            DisplayedAreaTopLeftHandCorner=list(top_left),
            DisplayedAreaBottomRightHandCorner=list(bottom_right),
            PresentationSizeMode="SCALE TO FIT",
        )
    ]
    return save(state, path)


def segmentation(drawn: Drawn, path: Path, kind: str = "BINARY") -> Path:
    """By highdicom from the whole T1 series: the frames of other slices are empty and left out."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    rows = sorted(drawn.files.instances[drawn.row.series_uid], key=lambda row: row.instance_number or 0)
    sources = [dcmread(row.path) for row in rows]
    at = next(index for index, row in enumerate(rows) if row.sop_instance_uid == drawn.row.sop_instance_uid)
    named = drawn.named()
    pixels = np.zeros((len(rows), drawn.row.rows, drawn.row.columns, len(named)), dtype=np.uint8)
    for number, (_, ellipse) in enumerate(named):
        pixels[at, ..., number] = drawn.mask(ellipse)
    algorithm = hd.AlgorithmIdentificationSequence("made by a test", codes.DCM.ArtificialIntelligence, "1")
    segments = [
        hd.seg.SegmentDescription(
            number, name, codes.SCT.Tissue, codes.SCT.Bone, "AUTOMATIC", algorithm_identification=algorithm
        )
        for number, (name, _) in enumerate(((n.replace(" ", "_"), e) for n, e in named), start=1)
    ]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels.astype(np.float32) if kind == "FRACTIONAL" else pixels,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid="2.25.81",
        series_number=5,
        sop_instance_uid="2.25.82",
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path)
    return path


def structures(drawn: Drawn, path: Path, *, images: bool, maker: str = "test") -> Path:
    """Polygons in patient mm; from rt-utils through the centres of the outermost pixels of the mask."""
    contours, names = [], []
    for number, (name, ellipse) in enumerate(drawn.named(), start=1):
        if maker == "rt-utils":
            ring = _through_centres(drawn.mask(ellipse))
            points = np.array([drawn.plane.place(row, column) for row, column in ring])
        else:
            points = _in_patient(drawn, ellipse, closed=False)
        contour = item(
            ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=len(points),
            ContourData=[f"{v:.6f}"[:16] for v in points.ravel()],
        )
        if images:
            contour.ContourImageSequence = [
                item(
                    ReferencedSOPClassUID=drawn.header.SOPClassUID, ReferencedSOPInstanceUID=drawn.row.sop_instance_uid
                )
            ]
        contours.append(item(ReferencedROINumber=number, ContourSequence=[contour]))
        names.append(item(ROINumber=number, ROIName=name))
    dataset = base(RTSTRUCT, "RTSTRUCT")
    dataset.ManufacturerModelName = maker
    dataset.StructureSetROISequence = names
    dataset.ROIContourSequence = contours
    return save(dataset, path)


def _through_centres(mask: np.ndarray) -> list[tuple[float, float]]:
    """Down the left edge and up the right edge of a convex mask, through pixel centres."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = [(float(row), float(np.flatnonzero(mask[row])[0])) for row in rows]
    right = [(float(row), float(np.flatnonzero(mask[row])[-1])) for row in rows[::-1]]
    return left + right


def imagej(drawn: Drawn, path: Path, kind: str) -> Path:
    """A zip as ImageJ's ROI manager saves it: rotated ellipses, or sub-pixel polygons."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, ellipse in drawn.named():
            archive.writestr(f"{name}.roi", _roi(drawn, name, ellipse, kind))
    return path


def _roi(drawn: Drawn, name: str, ellipse: Ellipse, kind: str) -> bytes:
    points = drawn.polygon(ellipse)
    roi = roifile.ImagejRoi.frompoints(points, name=name)
    if kind == "polygon":
        return bytes(roi.tobytes())
    center, major, minor = drawn.axes(ellipse)
    roi.roitype, roi.subtype = roifile.ROI_TYPE.FREEHAND, roifile.ROI_SUBTYPE.ELLIPSE
    data = bytearray(roi.tobytes())
    struct.pack_into(">4f", data, 18, *(center - major), *(center + major))
    struct.pack_into(">f", data, 52, float(np.linalg.norm(minor) / np.linalg.norm(major)))
    return bytes(data)


def oval(box: Sequence[int], name: str = "") -> bytes:
    """An axis-aligned ImageJ oval: top, left, bottom, right."""
    roi = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, name=name)
    roi.top, roi.left, roi.bottom, roi.right = box
    return bytes(roi.tobytes())
