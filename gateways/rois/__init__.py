"""A reader's regions from a file of any program: told apart by what the file holds, never by its name.

    our JSON | DICOM SR (TID 1500) | GSPS | SEG | RTSTRUCT | ImageJ .roi and .zip

Stored statistics are never trusted: only where the regions lie is read, and vbq.imaging measures anew.
"""

from pathlib import Path

from gateways.dicom.study import StudyFiles
from gateways.rois.dicom_objects import drawings_of_dicom
from gateways.rois.frames import Frames
from gateways.rois.imagej import drawings_of_imagej
from gateways.rois.json_file import parse_regions
from schemas.errors import NotAcceptable, TooLarge
from schemas.measurement import RegionSet
from vbq.imaging.drawn import assemble

__all__ = ["parse_regions", "read_regions", "regions_beside"]

MAX_BYTES = 64 * 2**20
MAX_TEXT_BYTES = 1_000_000
REGIONS_FILE = "regions.json"


def read_regions(path: Path, files: StudyFiles, *, image: str | None = None) -> RegionSet:
    """Read a --rois file that belongs to the study `files`.

    `image` is the SOP Instance UID of the slice that regions without an image of their own lie on (ImageJ, or our JSON
    without sop_instance_uid). Raises NotAcceptable naming what is wrong, NotMeasurable where the regions cannot lie on
    this study, TooLarge.
    """
    data = _bytes_of(path)
    if data[128:132] == b"DICM":
        frames = Frames(files, image)
        drawings, remarks = drawings_of_dicom(path, frames)
        return assemble(drawings, frames.planes(drawings), remarks)
    if data[:4] in (b"PK\x03\x04", b"Iout"):
        frames = Frames(files, image)
        drawings, remarks = drawings_of_imagej(data, path.stem, image)
        return assemble(drawings, frames.planes(drawings), remarks)
    if len(data) > MAX_TEXT_BYTES:
        raise TooLarge(f"the regions file is larger than {MAX_TEXT_BYTES} bytes; it should hold regions alone")
    found = parse_regions(data)
    return found.but(sop_instance_uid=image) if image and found.sop_instance_uid is None else found


def regions_beside(directory: Path) -> tuple[RegionSet, str] | None:
    """The regions.json that lies at the top of a study's directory, with the name to cite; None where there is none.

    In the pipeline such a file of a `file:` study counts as a reader's regions (design/CONTRACT.md).
    """
    path = directory / REGIONS_FILE
    if path.is_symlink() or not path.is_file():
        return None
    data = _bytes_of(path)
    if len(data) > MAX_TEXT_BYTES:
        raise TooLarge(f"the regions file is larger than {MAX_TEXT_BYTES} bytes; it should hold regions alone")
    return parse_regions(data), REGIONS_FILE


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"the regions file is larger than {MAX_BYTES >> 20} MiB; it should hold regions alone")
        return path.read_bytes()
    except OSError as error:
        raise NotAcceptable(
            f"the regions file cannot be read ({error.strerror}); check its path", code="regions-missing"
        ) from error
