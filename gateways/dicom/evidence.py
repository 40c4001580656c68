"""What a measurement rests on, as DICOM for the archive: a structured report (PS3.16 TID 1500) and a picture.

Both repeat patient and study from the images' headers, carry UIDs that follow from the measurement (so that sending
twice makes no second copy), and say "research use". highdicom takes 1.7 s to import: only who writes evidence pays.
"""

import datetime as dt
import io
import math
import textwrap
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage

from gateways.dicom.pixels import quiet_pydicom, read_header
from gateways.dicom.study import StudyFiles
from schemas.codes import codes_of
from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse, Level, Measurement, Region
from vbq.imaging.draw import picture
from vbq.imaging.labels import THORACIC_CODES

if TYPE_CHECKING:
    import highdicom as hd

SPACE = uuid.UUID("3c5d4f0e-6f0b-5b0e-9d2e-7a4c1e0f2b61")  # of UUIDv5: made once, at random
SCHEME = "99VBQCDS"
MANUFACTURER, MODEL = "vbq-cds", "VBQ (research use only)"
REPORT_SERIES, CAPTURE_SERIES = 9801, 9802
# Type 2 of the patient and study modules (PS3.3 C.7.1.1, C.7.2.1): present, if empty; anonymised files lack them.
MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
VBQ = Code("VBQ", SCHEME, "Vertebral bone quality score")
LOWER = Code("VBQ-LOWER", SCHEME, "Vertebral bone quality score, lower 95 % limit")
UPPER = Code("VBQ-UPPER", SCHEME, "Vertebral bone quality score, upper 95 % limit")
RATIO = Code("{ratio}", "UCUM", "ratio")
COUNTS = Code("VBQ-COUNTS", SCHEME, "Counts in the score")
STATUS = Code("VBQ-STATUS", SCHEME, "Status of the measurement")
REASON = Code("VBQ-REASON", SCHEME, "Why a person must confirm it")
LUMBAR = frozenset({"L1", "L2", "L3", "L4", "L5"})
PROCEDURE = Code("24968-0", "LN", "MR Lumbar spine")


class Evidence(NamedTuple):
    """Two DICOM files, as bytes."""

    report: bytes
    capture: bytes


class _Header(NamedTuple):
    """The header of the file that a slice is in, and which of its frames it is."""

    dataset: Dataset
    frame: int | None


def evidence_of(result: Measurement, files: StudyFiles, *, software: str, now: dt.datetime) -> Evidence:
    """Both objects. Raises NotMeasurable where the measurement has no slice or no regions to show."""
    return Evidence(
        structured_report(result, files, software=software, now=now),
        secondary_capture(result, files, software=software, now=now),
    )


def structured_report(result: Measurement, files: StudyFiles, *, software: str, now: dt.datetime) -> bytes:
    """A Comprehensive 3D SR with one measurement group per region and one for the score."""
    import highdicom as hd

    headers = _headers(result, files)
    key = _key(result)
    algorithm = _algorithm(result)
    groups: list[Any] = [_score_group(result, algorithm, key)] if result.vbq is not None else []
    for is_csf, regions in ((False, result.levels), (True, result.csf)):
        groups += [
            _region_group(level, region, headers[region.sop_instance_uid], algorithm, key, is_csf=is_csf)
            for level, region in regions.items()
        ]
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=_uid(software), name=software, manufacturer_name=MANUFACTURER, model_name=MODEL
    )
    context = hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )
    content = hd.sr.MeasurementReport(context, procedure_reported=PROCEDURE, imaging_measurements=groups)
    with quiet_pydicom(), _what_headers_lack():
        report = hd.sr.Comprehensive3DSR(
            evidence=_one_each(headers.values()),
            content=content[0],
            series_instance_uid=_uid(key, "report-series"),
            series_number=REPORT_SERIES,
            sop_instance_uid=report_uid(result),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
        )
        report.CodingSchemeIdentificationSequence = [_own_scheme()]
        report.SeriesDescription = "VBQ regions (research use only)"
        return _file(report, software, now)


def secondary_capture(result: Measurement, files: StudyFiles, *, software: str, now: dt.datetime) -> bytes:
    """The measured slice with its regions, score and "research use only", as an RGB picture."""
    import highdicom as hd

    if result.slice is None or result.series_uid is None:
        raise NotMeasurable("there is no slice to show", code="no-slice")
    uid = result.slice.sop_instance_uid
    pixels = np.asarray(picture(result, files.load_slice(result.series_uid, uid)))
    key = _key(result)
    with quiet_pydicom(), _what_headers_lack():
        capture = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=_header(result, files, uid).dataset,
            pixel_array=pixels,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=_uid(key, "capture-series"),
            series_number=CAPTURE_SERIES,
            sop_instance_uid=_uid(key, "capture"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            patient_orientation=("P", "F"),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        capture.SeriesDescription = "VBQ picture (research use only)"
        capture.SourceImageSequence = [_source(_header(result, files, uid))]
        capture.DerivationDescription = "Regions and score drawn on an enlarged slice; not for measuring"
        capture.BurnedInAnnotation = "NO"  # says nothing of whose spine it is
        capture.Modality = "OT"
        capture.BodyPartExamined = "LSPINE"
        return _file(capture, software, now)


def _source(header: "_Header") -> Dataset:
    """Which image the picture was made from (PS3.3 C.7.6.1.1.4)."""
    item, purpose = Dataset(), Dataset()
    item.ReferencedSOPClassUID = header.dataset.SOPClassUID
    item.ReferencedSOPInstanceUID = header.dataset.SOPInstanceUID
    if header.frame is not None:
        item.ReferencedFrameNumber = header.frame
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


@contextmanager
def _what_headers_lack() -> Iterator[None]:
    """Highdicom copies what a report must repeat out of the images' headers, and raises these where it is not there."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotMeasurable(
            "the images' headers lack what a report must repeat of them; send them as the scanner wrote them",
            code="evidence-header",
        ) from error


def report_uid(result: Measurement) -> str:
    """The SOP Instance UID that the report of `result` has, or would have: the same for the same measurement."""
    return _uid(_key(result), "report")


def _key(result: Measurement) -> str:
    """What makes two measurements the same to an archive: where the regions lie, what came out, and by which way."""
    parts = [
        result.study_uid,
        str(result.series_uid),
        result.algorithm,
        str(result.method),
        result.status,
        str(result.vbq),
    ]
    for kind, measured in (("body", result.levels), ("csf", result.csf)):
        for level, region in sorted(measured.items()):
            parts += [kind, level, region.sop_instance_uid, region.ellipse.model_dump_json(), str(region.used)]
    return "|".join(parts)


def _headers(result: Measurement, files: StudyFiles) -> dict[str, _Header]:
    """The headers of all slices that regions lie on. Raises NotMeasurable where there is no region."""
    regions = [*result.levels.values(), *result.csf.values()]
    if not regions:
        raise NotMeasurable("there are no regions to report", code="no-regions")
    return {uid: _header(result, files, uid) for uid in dict.fromkeys(region.sop_instance_uid for region in regions)}


def _header(result: Measurement, files: StudyFiles, slice_uid: str) -> _Header:
    """Of the measured series: anonymised studies repeat instance UIDs across series."""
    rows = files.instances.get(result.series_uid or "", ())
    row = next((row for row in rows if row.slice_uid == slice_uid), None)
    if row is None:
        raise NotMeasurable("a measured slice is no longer among the study's files", code="slice-gone")
    with quiet_pydicom():
        header = read_header(row)
        if "SOPClassUID" not in header:  # stripped by some anonymisers; the file's own meta information has it
            header.SOPClassUID = header.file_meta.get("MediaStorageSOPClassUID", MRImageStorage)
        for keyword in MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, "")
    return _Header(header, row.frame)


def _one_each(headers: Iterable[_Header]) -> list[Dataset]:
    return list({str(header.dataset.SOPInstanceUID): header.dataset for header in headers}.values())


def _score_group(result: Measurement, algorithm: "hd.sr.AlgorithmIdentification", key: str) -> Any:
    import highdicom as hd

    values = [(VBQ, result.vbq)]
    if result.interval is not None:
        values += [(LOWER, result.interval[0]), (UPPER, result.interval[1])]
    status = Code(result.status.upper().replace("_", "-"), SCHEME, result.status.replace("_", " "))
    reasons = [Code(reason.code, SCHEME, _meaning(reason.text)) for reason in result.reasons]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=_uid(key, "score"), identifier="VBQ"),
        algorithm_id=algorithm,
        measurements=[
            hd.sr.Measurement(name=_concept(name), value=round(value, 4), unit=_concept(RATIO))
            for name, value in values
            if value is not None
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(_concept(STATUS), _concept(status)),
            *(hd.sr.QualitativeEvaluation(_concept(REASON), _concept(reason)) for reason in reasons),
        ],
    )


def _meaning(text: str) -> str:
    """A sentence as a code's meaning, which DICOM allows 64 characters."""
    return textwrap.shorten(text, 64, placeholder=" ...")


def _region_group(
    level: Level,
    region: Region,
    header: _Header,
    algorithm: "hd.sr.AlgorithmIdentification",
    key: str,
    *,
    is_csf: bool,
) -> Any:
    import highdicom as hd

    name = f"CSF {level}" if is_csf else level
    kind, points = graphic_of(region.ellipse, _spacing(header))
    source = hd.sr.SourceImageForRegion(
        str(header.dataset.SOPClassUID),
        str(header.dataset.SOPInstanceUID),
        [header.frame] if header.frame is not None else None,
    )
    signal, mm2 = codes.UCUM.NoUnits, codes.UCUM.SquareMillimeter
    measurements = [
        hd.sr.Measurement(codes.DCM.MRSignalIntensity, round(region.mean, 4), signal, derivation=codes.SCT.Mean),
        hd.sr.Measurement(
            codes.DCM.MRSignalIntensity, round(region.sd, 4), signal, derivation=codes.SCT.StandardDeviation
        ),
        hd.sr.Measurement(codes.SCT.Area, round(region.area_mm2, 3), mm2),
    ]
    site = _site(level)
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=_uid(key, name), identifier=name),
        referenced_region=hd.sr.ImageRegion(kind, points, source),
        finding_type=codes.SCT.CerebrospinalFluid if is_csf else codes.SCT.BoneMarrow,
        finding_sites=[hd.sr.FindingSite(site)] if site is not None else None,
        algorithm_id=algorithm,
        measurements=measurements,
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(_concept(COUNTS), codes.SCT.Yes if region.used else codes.SCT.No)
        ],
    )


def graphic_of(ellipse: Ellipse, pixel_spacing_mm: tuple[float, float]) -> tuple[str, npt.NDArray[np.float64]]:
    """(GraphicType, (n, 2) columns and rows from the image's corner): an ellipse, or a polyline for an outline."""
    if ellipse.outline is not None:
        ring = np.array(_one_ring(ellipse.outline))
        return "POLYLINE", ring[:, ::-1] + 0.5
    row_mm, column_mm = pixel_spacing_mm
    (a, b), angle = ellipse.semi_axes_mm, math.radians(ellipse.angle_deg)
    along = np.array([a * math.cos(angle) / column_mm, a * math.sin(angle) / row_mm])
    across = np.array([-b * math.sin(angle) / column_mm, b * math.cos(angle) / row_mm])
    major, minor = (along, across) if a >= b else (across, along)
    center = np.array([ellipse.center[1] + 0.5, ellipse.center[0] + 0.5])
    return "ELLIPSE", np.array([center - major, center + major, center - minor, center + minor])


def _one_ring(rings: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """One closed line for several rings: bridges there and back cancel out under the even-odd rule."""
    line = [point for ring in rings for point in (*ring, ring[0])]
    return line + [ring[0] for ring in reversed(rings[:-1])]


def _spacing(header: _Header) -> tuple[float, float]:
    spacing = header.dataset.get("PixelSpacing") or _measures(header).PixelSpacing
    return float(spacing[0]), float(spacing[1])


def _measures(header: _Header) -> Dataset:
    """Pixel measures of an enhanced image: its own frame's, else those that all frames share."""
    own = header.dataset.PerFrameFunctionalGroupsSequence[(header.frame or 1) - 1]
    shared = header.dataset.SharedFunctionalGroupsSequence[0]
    found: Dataset = (own.get("PixelMeasuresSequence") or shared.PixelMeasuresSequence)[0]
    return found


def _site(level: Level) -> Code | None:
    """The vertebra's SNOMED code; None for S1, which has none in DICOM's context groups."""
    for code, name in THORACIC_CODES.items():
        if name == level:
            return Code(code, "SCT", f"{level} vertebra")
    if level not in LUMBAR:
        return None
    (known, *_) = codes_of(f"vertebra_{level}")
    return Code(known.code, "SCT", known.display)


def _algorithm(result: Measurement) -> "hd.sr.AlgorithmIdentification":
    import highdicom as hd

    name, _, version = result.algorithm.rpartition(" ")
    drawn = "regions by a reader" if result.method == "reader" else "automatic regions"
    return hd.sr.AlgorithmIdentification(name=name or version, version=version, parameters=[drawn])


def _own_scheme() -> Dataset:
    """Whose codes 99VBQCDS are (PS3.3 C.12.1.1.1)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Local codes of vbq-cds"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def _concept(code: Code) -> "hd.sr.CodedConcept":
    import highdicom as hd

    return hd.sr.CodedConcept(code.value, code.scheme_designator, code.meaning)


def _uid(*parts: str) -> str:
    return f"2.25.{uuid.uuid5(SPACE, '|'.join(parts)).int}"


def _file(dataset: Dataset, software: str, now: dt.datetime) -> bytes:
    dataset.SoftwareVersions = software[:64]
    dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.ContentDate, dataset.ContentTime
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()
