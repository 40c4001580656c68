"""Fetching a study over DICOMweb (PS3.18): headers of its MR series, then pixels of those that will do."""

import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from gateways.dicom.frames import split_frames
from gateways.dicom.headers import TAGS, Instance, instance_of
from gateways.dicom.limits import DicomLimits
from gateways.dicom.pixels import DECODER_ERRORS, quiet_pydicom
from gateways.dicom.series import series_header
from gateways.dicom.stacks import one_stack
from gateways.dicom.study import headers_of
from gateways.dicom.walk import EXPLICIT_LE, Walk
from gateways.pacs.archive import CHUNK, Archive, Headers, absent, open_archive
from gateways.pacs.dicomweb_frames import Described, Wanted, fetch_frames, wanted_frames
from gateways.pacs.endpoints import is_uid
from gateways.pacs.multipart import PartWriter, boundary_of, split_parts
from gateways.pacs.study_cache import StudyCache
from schemas.config import Pacs
from schemas.errors import NotMeasurable, PacsUnavailable, TooLarge
from schemas.measurement import Reason
from vbq.imaging.series import choose_series, no_series
from vbq.imaging.volume import SeriesHeader

MAX_SERIES = 100
UNSIGNED = frozenset({"Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored"})
PLAIN_OR_STORED = (f"; transfer-syntax={EXPLICIT_LE}", "; transfer-syntax=*")


def fetch_study(
    pacs: Pacs, study_uid: str, scratch: Path, limits: DicomLimits, cache: StudyCache | None = None
) -> Path:
    """Write the series of a study that could be measured below `scratch`; returns the directory.

    What is in `cache` is not fetched again. Raises NotMeasurable where none of its series is a sagittal T1 without
    contrast, PacsUnavailable where the archive is away, refuses for now or has not got the study yet, NotConfigured
    where it does not let us in, TooLarge.
    """
    with open_archive(pacs) as archive:
        found = series_of(archive, study_uid, limits)
        choice = choose_series([one.header for one in found])
        if choice.header is None:
            reason = no_series(choice)
            raise NotMeasurable(reason.text, code=reason.code)
        suitable = [verdict.series_uid for verdict in choice.verdicts if verdict.score > 0]
        described = {one.header.uid: one for one in found}
        target = scratch / "archive"
        target.mkdir(parents=True, exist_ok=True)
        left = limits.study_bytes
        for number, series_uid in enumerate(suitable):
            folder = target / f"{number:03d}"
            folder.mkdir(exist_ok=True)
            series = described[series_uid]
            key = pacs.name.encode() + b"\0" + _digest(series.rows)
            if cache is None or not cache.take(study_uid, key, folder):
                writer = PartWriter(folder, max_bytes=left, max_parts=limits.instances)
                _fetch(archive, f"studies/{study_uid}/series/{series_uid}", series, writer, limits)
                left -= writer.written
                if cache is not None:
                    cache.keep(study_uid, key, folder)
    return target


def series_of(archive: Archive, study_uid: str, limits: DicomLimits) -> list[Described]:
    """The series of a study.

    Pixels are not asked for, and metadata of MR series alone. Raises PacsUnavailable, TooLarge.
    """
    found = archive.rows(f"studies/{study_uid}/series", {"includefield": f"{TAGS['Modality']:08X}"})
    if not found:
        raise absent()
    if len(found) > MAX_SERIES:
        raise TooLarge(f"the study has more than {MAX_SERIES} series", code="too-many-series")
    headers: list[Described] = []
    for row in found:
        uid, modality = _value(row, "SeriesInstanceUID"), _value(row, "Modality")
        if not isinstance(uid, str) or not is_uid(uid):
            continue
        if modality not in (None, "MR"):
            headers.append(Described(SeriesHeader(uid=uid, modality=str(modality))))
            continue
        rows = archive.rows(f"studies/{study_uid}/series/{uid}/metadata")
        if len(rows) > limits.instances:
            raise TooLarge(f"a series has more than {limits.instances} instances (VBQ_MAX_STUDY_INSTANCES)")
        if instances := instances_of(rows):
            headers.append(Described(series_header(uid, one_stack(instances)[0], limits), rows, instances))
    return headers


def _fetch(archive: Archive, path: str, series: Described, writer: PartWriter, limits: DicomLimits) -> None:
    """Have the series written, by frames where that saves bytes."""
    wanted = wanted_frames(series.rows, series.instances, limits)
    if wanted is not None:
        if fetch_frames(archive, path, series, wanted, writer) and _gives(writer.directory, wanted, limits):
            return
        writer.start_over()
    _retrieve(archive, path, writer)


def _gives(folder: Path, wanted: Wanted, limits: DicomLimits) -> bool:
    """Whether whoever reads the files will look at the wanted frames and at no other."""
    found = [headers_of(path, limits) for path in sorted(folder.iterdir())]
    images = [image for one in found if not isinstance(one, Reason) for image in one]
    kept, _ = one_stack(images)
    frames = {(row.sop_instance_uid, row.frame) for row in kept}
    return frames == {(uid, number) for uid, numbers in wanted.items() for number in numbers}


def _retrieve(archive: Archive, path: str, writer: PartWriter) -> None:
    """Stream a series to `writer`: uncompressed, or as it is stored where the archive cannot convert."""
    for syntax in PLAIN_OR_STORED:
        accept = {"Accept": f'multipart/related; type="application/dicom"{syntax}'}
        with archive.stream("GET", path, accept) as answer:
            if answer.status_code in (406, 415):
                continue
            if answer.status_code == 404:
                raise absent()
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            if answer.status_code != 200 or boundary is None:
                raise PacsUnavailable("the archive's answer is not multipart/related", code="pacs-answer")
            split_parts(answer.iter_bytes(CHUNK), boundary, writer)
            return
    raise PacsUnavailable("the archive offers the series in no form that we take", code="pacs-answer")


def _digest(rows: Sequence[Headers]) -> bytes:
    """What changes when anything does that the archive says of a series; links to its own pixels are left out."""
    texts = sorted(json.dumps(row, sort_keys=True, default=str) for row in map(_without_links, rows))
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).digest()


def _without_links(row: Headers) -> dict[str, Any]:
    return {
        tag: element for tag, element in row.items() if not (isinstance(element, dict) and "BulkDataURI" in element)
    }


def instances_of(rows: Sequence[Headers]) -> list[Instance]:
    """DICOM JSON metadata (PS3.18 annex F) read by the same code that reads files."""
    found = []
    for row in rows:
        values = {}
        for name, tag in TAGS.items():
            parts = _by_tag(row, f"{tag:08X}", every=True)
            if parts and name in UNSIGNED:
                values[tag] = struct.pack("<H", parts[0] if _is_unsigned(parts[0]) else 0)
            elif parts:
                values[tag] = "\\".join(str(part) for part in parts).encode("utf-8", "replace")
        values[TAGS["SpecificCharacterSet"]] = b"ISO_IR 192"  # JSON is UTF-8 whatever the file was
        read = instance_of(Path(), Walk(values=values, has_pixels=True))
        if isinstance(read, Instance):
            found += [read] if read.frames == 1 else _frames(read, row)
    return found


def _frames(read: Instance, row: Headers) -> list[Instance]:
    """The frames of an enhanced file, from its metadata; the instance itself where these make no sense."""
    with quiet_pydicom():
        try:
            return split_frames(read, Dataset.from_json(dict(row)))
        except (RecursionError, *DECODER_ERRORS):
            return [read]


def _is_unsigned(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 65536


def _value(row: Headers, name: str) -> Any:
    return _by_tag(row, f"{TAGS[name]:08X}")


def _by_tag(row: Headers, tag: str, *, every: bool = False) -> Any:
    """The first value of an element of DICOM JSON, or all of them; None where it has none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list) or not values:
        return None
    return values if every else values[0]
