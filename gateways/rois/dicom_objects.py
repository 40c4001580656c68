"""Which kind of DICOM object holds the regions, read within bounds; each kind has a module of its own."""

from pathlib import Path

from pydicom import Dataset

from gateways.dicom.limits import NATIVE
from gateways.dicom.pixels import DECODER_ERRORS, quiet_pydicom, read_dataset_bounded
from gateways.dicom.walk import walk_file
from gateways.rois.frames import Frames
from gateways.rois.presentation import drawings_of_presentation
from gateways.rois.rtstruct import drawings_of_structures
from gateways.rois.segmentation import drawings_of_segments
from gateways.rois.structured_report import drawings_of_report
from schemas.errors import NotAcceptable, Rejected, TooLarge
from schemas.measurement import Reason
from vbq.imaging.drawn import Drawing

MAX_HEADER_BYTES = 8 * 2**20  # a million elements fit into these, and take six seconds to parse
READERS = {
    "1.2.840.10008.5.1.4.1.1.88.": drawings_of_report,
    "1.2.840.10008.5.1.4.1.1.11.": drawings_of_presentation,
    "1.2.840.10008.5.1.4.1.1.66.4": drawings_of_segments,
    "1.2.840.10008.5.1.4.1.1.66.7": drawings_of_segments,
    "1.2.840.10008.5.1.4.1.1.481.3": drawings_of_structures,
}


def drawings_of_dicom(path: Path, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    """The regions of an SR, GSPS, SEG or RTSTRUCT file. Raises NotAcceptable, NotMeasurable or TooLarge."""
    walk = walk_file(path, ())
    if walk.transfer_syntax not in NATIVE:
        raise NotAcceptable(
            "the regions file is compressed; write it as Explicit VR Little Endian", code="transfer-syntax"
        )
    if walk.truncated:
        raise NotAcceptable("the regions file ends early; send it again", code="dicom-truncated")
    if walk.header_bytes > MAX_HEADER_BYTES:
        raise TooLarge(f"the regions file holds more than {MAX_HEADER_BYTES >> 20} MiB beside pixels")
    with quiet_pydicom():
        try:
            dataset = read_dataset_bounded(path, walk.transfer_syntax)
            return _read(dataset, frames)
        except Rejected:
            raise
        except (RecursionError, *DECODER_ERRORS) as error:
            raise NotAcceptable(
                "the regions file is not the DICOM that it says it is; write it again", code="regions-dicom"
            ) from error


def _read(dataset: Dataset, frames: Frames) -> tuple[list[Drawing], list[Reason]]:
    kind = str(dataset.get("SOPClassUID", ""))
    reader = next((reader for prefix, reader in READERS.items() if kind.startswith(prefix)), None)
    if reader is None:
        raise NotAcceptable(
            "the regions file is DICOM but no structured report, presentation state, segmentation or structure set",
            code="regions-format",
        )
    return reader(dataset, frames)
