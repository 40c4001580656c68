"""Of a multi-frame series, the frames that a measurement looks at (PS3.18 section 10.4.1.1.6), where that saves bytes.

Enhanced MR keeps two echoes of each slice, or several stacks, in one file. The file is put together again from its
metadata, with zeros where a frame was not fetched: frames keep their numbers, which evidence refers to. What the file
then gives to a reader is compared with what was fetched, so that zeros are never measured.
"""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.pixels import DECODER_ERRORS, quiet_pydicom
from gateways.dicom.stacks import one_stack
from gateways.dicom.walk import EXPLICIT_LE
from gateways.pacs.archive import CHUNK, Archive, Headers
from gateways.pacs.multipart import PartWriter, boundary_of, split_parts
from vbq.imaging.volume import SeriesHeader

WORTH = 0.7  # of the frames; above it the whole file is simpler
AT_ONCE = 100
ACCEPT = {"Accept": f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT_LE}'}
PIXELS = frozenset({"7FE00008", "7FE00009", "7FE00010"})

Wanted = dict[str, list[int]]


class Described(NamedTuple):
    """A series as the archive's metadata describe it."""

    header: SeriesHeader
    rows: Sequence[Headers] = ()
    instances: Sequence[Instance] = ()


def wanted_frames(rows: Sequence[Headers], instances: Sequence[Instance], limits: DicomLimits) -> Wanted | None:
    """SOP Instance UID -> frames, from 1; None where whole instances are to be fetched.

    `rows` is a series' metadata, `instances` the same read. Values that are only linked to are not in a file that is
    made of metadata, so such a series is fetched whole.
    """
    if any(row.frame is None for row in instances) or len(rows) != len({row.sop_instance_uid for row in instances}):
        return None
    if sum(row.rows * row.columns for row in instances) > limits.pixels or any(map(_links_elsewhere, rows)):
        return None
    kept, _ = one_stack(instances)
    if not kept or len(kept) > WORTH * len(instances):
        return None
    wanted: Wanted = defaultdict(list)
    for row in kept:
        wanted[row.sop_instance_uid].append(row.frame or 1)
    return dict(wanted)


def fetch_frames(archive: Archive, path: str, series: Described, wanted: Wanted, writer: PartWriter) -> bool:
    """Write files with the `wanted` frames. False where the archive offers no frames, or the files would not do."""
    for row in series.rows:
        first = next((one for one in series.instances if one.sop_instance_uid == _uid(row)), None)
        frames = wanted.get(first.sop_instance_uid) if first is not None else None
        if first is None or not frames:
            continue
        size = first.rows * first.columns * first.bits_allocated // 8
        pixels = bytearray(size * first.frames)
        for start in range(0, len(frames), AT_ONCE):
            some = frames[start : start + AT_ONCE]
            found = _frames(archive, f"{path}/instances/{first.sop_instance_uid}/frames", some, writer)
            if found is None or any(len(one) != size for one in found) or len(found) != len(some):
                return False
            for number, content in zip(some, found, strict=True):
                pixels[(number - 1) * size : number * size] = content
        made = _file(row, bytes(pixels))
        if made is None:
            return False
        writer.write(made)
    return True


def _frames(archive: Archive, path: str, frames: Sequence[int], writer: PartWriter) -> list[bytes] | None:
    folder = writer.directory / "frames"
    folder.mkdir()
    parts = PartWriter(folder, max_bytes=writer.max_bytes - writer.written, max_parts=len(frames))
    try:
        with archive.stream("GET", f"{path}/{','.join(map(str, frames))}", ACCEPT) as answer:
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            if answer.status_code != 200 or boundary is None:
                return None
            split_parts(answer.iter_bytes(CHUNK), boundary, parts)
        return [path.read_bytes() for path in sorted(folder.iterdir())]
    finally:
        shutil.rmtree(folder)


def _file(row: Headers, pixels: bytes) -> bytes | None:
    """A PS3.10 file of metadata and pixels; None where the metadata make none."""
    from io import BytesIO

    file = BytesIO()
    with quiet_pydicom():
        try:
            kept = {tag: element for tag, element in row.items() if not tag.startswith("0002") and tag not in PIXELS}
            dataset = Dataset.from_json(kept)
            dataset.add_new(0x7FE00010, "OW", pixels)
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(file, enforce_file_format=True)
        except (RecursionError, *DECODER_ERRORS):
            return None
    return file.getvalue()


def _links_elsewhere(value: object, *, top: bool = True) -> bool:
    """Whether any element but the pixels is only linked to."""
    if isinstance(value, dict):
        if "BulkDataURI" in value:
            return True
        return any(_links_elsewhere(one, top=False) for tag, one in value.items() if not (top and tag in PIXELS))
    return isinstance(value, list) and any(_links_elsewhere(one, top=False) for one in value)


def _uid(row: Headers) -> str | None:
    element = row.get("00080018")
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else None
