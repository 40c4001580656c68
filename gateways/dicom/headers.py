"""One DICOM instance's header as plain values. Every value is optional and may be nonsense: nonsense reads as None."""

import datetime as dt
import math
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.charset import convert_encodings, decode_bytes

from gateways.dicom.walk import Walk, walk_file
from schemas.measurement import Reason
from vbq.imaging.identity import StudyIdentity
from vbq.imaging.volume import Orientation, Vector

TAGS: dict[str, int] = {
    "SpecificCharacterSet": 0x00080005,
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020,
    "AcquisitionDate": 0x00080022,
    "AcquisitionTime": 0x00080032,
    "Modality": 0x00080060,
    "Manufacturer": 0x00080070,
    "SeriesDescription": 0x0008103E,
    "ManufacturerModelName": 0x00081090,
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "ContrastBolusAgent": 0x00180010,
    "BodyPartExamined": 0x00180015,
    "ScanningSequence": 0x00180020,
    "SequenceVariant": 0x00180021,
    "ScanOptions": 0x00180022,
    "SequenceName": 0x00180024,
    "SliceThickness": 0x00180050,
    "RepetitionTime": 0x00180080,
    "EchoTime": 0x00180081,
    "InversionTime": 0x00180082,
    "EchoNumbers": 0x00180086,
    "MagneticFieldStrength": 0x00180087,
    "ProtocolName": 0x00181030,
    "ContrastBolusVolume": 0x00181041,
    "FlipAngle": 0x00181314,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "SeriesNumber": 0x00200011,
    "InstanceNumber": 0x00200013,
    "FrameOfReferenceUID": 0x00200052,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
}
ESCAPE = b"\x1b"
WANTED = frozenset(TAGS.values())
FARTHEST_MM = 10_000.0  # of a slice from the origin, which lies in the scanner or in the patient


@dataclass(frozen=True, repr=False)
class Instance:
    """One file of a study that is an image: where it is and what its header says."""

    path: Path
    transfer_syntax: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    identity: StudyIdentity
    sop_class: str | None = None
    study_date: str | None = None
    series_number: int | None = None
    instance_number: int | None = None
    modality: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    """Free text by DICOM keyword, e.g. SeriesDescription."""
    codes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Coded strings by DICOM keyword, upper case."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Single numbers by DICOM keyword, in DICOM's units."""
    position_mm: Vector | None = None
    orientation: Orientation | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    rows: int = 0
    columns: int = 0
    samples: int = 1
    frames: int = 1
    bits_allocated: int = 0
    bits_stored: int = 0
    pixel_bytes: int | None = None
    has_pixels: bool = False
    truncated: bool = False
    header_bytes: int = 0
    frame_of_reference: str | None = None
    rescale: tuple[float, float] | None = None
    """Slope and intercept of this frame; None where the data set's own count."""
    frame: int | None = None
    """Which frame of a multi-frame file this is, counted from 1; None where the file is one image."""

    @property
    def slice_uid(self) -> str:
        """What names the slice: the SOP Instance UID, with #frame where the file holds several."""
        return (
            self.sop_instance_uid if self.frame is None or self.frames == 1 else f"{self.sop_instance_uid}#{self.frame}"
        )


def read_instance(path: Path) -> Instance | Reason | None:
    """The header of an image file; a Reason where the file ends before its identifiers; None where it is no image.

    Raises NotAcceptable or TooLarge for a file that the guard refuses, OSError where it cannot be read.
    """
    return instance_of(path, walk_file(path, WANTED))


def instance_of(path: Path, walk: Walk) -> Instance | Reason | None:
    """As read_instance, from values that were already walked (or that an archive sent as DICOM JSON)."""
    raw = _Values(walk)
    study, series, sop = (raw.text(f"{name}InstanceUID") for name in ("Study", "Series", "SOP"))
    if not (study and series and sop):
        if walk.truncated:
            return Reason(code="truncated", text="the file ends within its header")
        if walk.has_pixels:
            text = "an image names no study, series or instance (UIDs are missing); send it from the archive again"
            return Reason(code="no-identifiers", text=text)
        return None  # a DICOMDIR, or a file that belongs to no study
    if not walk.has_pixels and not raw.unsigned("Rows") and not walk.truncated:
        return None  # a report, a segmentation, a presentation state
    return Instance(
        path=path,
        transfer_syntax=walk.transfer_syntax,
        study_uid=study,
        series_uid=series,
        sop_instance_uid=sop,
        identity=StudyIdentity(
            patient_id=raw.text("PatientID"),
            issuer=raw.text("IssuerOfPatientID"),
            birth_date=_date(raw.text("PatientBirthDate")),
            sex=raw.text("PatientSex"),
        ),
        sop_class=raw.text("SOPClassUID"),
        study_date=date.isoformat() if (date := _date(raw.text("StudyDate"))) else None,
        series_number=raw.integer("SeriesNumber"),
        instance_number=raw.integer("InstanceNumber"),
        modality=raw.text("Modality"),
        texts=raw.texts("SeriesDescription", "ProtocolName", "Manufacturer", "ManufacturerModelName", "SequenceName")
        | raw.texts("AcquisitionDate", "AcquisitionTime", "ContrastBolusAgent", "PhotometricInterpretation"),
        codes={
            name: tuple(part.upper() for part in raw.parts(name))
            for name in ("ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions", "BodyPartExamined")
        },
        numbers=raw.numbers("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoNumbers")
        | raw.numbers("MagneticFieldStrength", "ContrastBolusVolume", "SliceThickness"),
        frame_of_reference=raw.text("FrameOfReferenceUID"),
        position_mm=triple_of(raw.floats("ImagePositionPatient")),
        orientation=orientation_of(raw.floats("ImageOrientationPatient")),
        pixel_spacing_mm=spacing_of(raw.floats("PixelSpacing")),
        rows=raw.unsigned("Rows"),
        columns=raw.unsigned("Columns"),
        samples=raw.unsigned("SamplesPerPixel") or 1,
        frames=max(raw.integer("NumberOfFrames") or 1, 1),
        bits_allocated=raw.unsigned("BitsAllocated"),
        bits_stored=raw.unsigned("BitsStored"),
        pixel_bytes=walk.pixel_bytes,
        has_pixels=walk.has_pixels,
        truncated=walk.truncated,
        header_bytes=walk.header_bytes,
    )


class _Values:
    """Reads the raw values of a walk by DICOM keyword."""

    def __init__(self, walk: Walk) -> None:
        self._raw = walk.values
        self._charset = self._ascii("SpecificCharacterSet").split("\\")

    def _ascii(self, name: str) -> str:
        return self._raw.get(TAGS[name], b"").decode("ascii", "replace").strip("\0 ")

    def text(self, name: str) -> str | None:
        raw = self._raw.get(TAGS[name], b"")
        if raw.isascii() and ESCAPE not in raw:
            return raw.decode("ascii").strip("\0 ") or None
        return _decoded(raw, self._charset).strip("\0 ") or None

    def texts(self, *names: str) -> dict[str, str]:
        return {name: text for name in names if (text := self.text(name))}

    def parts(self, name: str) -> list[str]:
        return [part.strip() for part in (self.text(name) or "").split("\\") if part.strip()]

    def floats(self, name: str) -> list[float]:
        """All numbers of a decimal or integer string; empty where any of them is none or not finite."""
        try:
            found = [float(part) for part in self._ascii(name).split("\\") if part.strip()]
        except ValueError:
            return []
        return found if all(math.isfinite(value) for value in found) else []

    def numbers(self, *names: str) -> dict[str, float]:
        return {name: found[0] for name in names if (found := self.floats(name))}

    def integer(self, name: str) -> int | None:
        found = self.floats(name)
        return int(found[0]) if found and abs(found[0]) < 2**31 else None

    def unsigned(self, name: str) -> int:
        """A US value; 0 where it is missing. Only little endian syntaxes get this far."""
        raw = self._raw.get(TAGS[name], b"")
        return int(struct.unpack_from("<H", raw)[0]) if len(raw) >= 2 else 0


def _decoded(raw: bytes, charset: list[str]) -> str:
    """Text in the file's own character set (PS3.3 C.12.1.1.2), undecodable characters replaced."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # pydicom warns of character sets that it does not know, and decodes all the same
        return decode_bytes(raw, convert_encodings(charset), {10, 12, 13, ord("\\"), ord("^"), ord("=")})


def _date(text: str | None) -> dt.date | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date() if text and len(text) == 8 else None  # noqa: DTZ007 - a date
    except ValueError:
        return None


def triple_of(values: list[float]) -> Vector | None:
    """A point, None where there are not three numbers of a place in a scanner."""
    if len(values) != 3 or not all(abs(value) < FARTHEST_MM for value in values):  # nor where one is not a number
        return None
    return values[0], values[1], values[2]


def orientation_of(values: list[float]) -> Orientation | None:
    """Six direction cosines, None unless both directions have unit length and are perpendicular (PS3.3 C.7.6.2.1.1)."""
    if len(values) != 6:
        return None
    row, column = values[:3], values[3:]
    lengths = [math.hypot(*row), math.hypot(*column)]
    if (
        not all(abs(length - 1) <= 0.01 for length in lengths)  # so that what is not a number is none
        or abs(sum(a * b for a, b in zip(row, column, strict=True))) > 0.01
    ):
        return None
    return (row[0], row[1], row[2], column[0], column[1], column[2])


def spacing_of(values: list[float]) -> tuple[float, float] | None:
    """Row and column spacing in mm, None where they are no plausible sizes of a pixel."""
    if len(values) == 2 and all(0.01 < value < 50 for value in values):
        return values[0], values[1]
    return None
