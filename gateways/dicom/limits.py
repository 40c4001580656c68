"""What we are willing to open: limits of a study and the transfer syntaxes that we decode."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateways.dicom.walk import DEFLATED_LE, EXPLICIT_LE, IMPLICIT_LE

if TYPE_CHECKING:
    from gateways.settings import Settings  # the decoder's process starts without them

RLE = "1.2.840.10008.1.2.5"
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
NATIVE = frozenset({IMPLICIT_LE, EXPLICIT_LE, DEFLATED_LE})
DECODABLE = NATIVE | {RLE} | JPEG_LS | JPEG_2000 | JPEG_LOSSLESS
NAMES = {
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.113619.5.2": "GE's private big endian syntax",
}


@dataclass(frozen=True)
class DicomLimits:
    """Beyond these a study is refused, naming the setting that moves the limit."""

    instances: int = 2000
    study_bytes: int = 2 * 2**30
    pixels: int = 4096 * 4096
    """Rows x columns x frames of one instance."""
    series_pixels: int = 96 * 2**20
    """Rows x columns x slices of the series that is measured: 384 MiB once decoded."""


def limits_of(settings: "Settings") -> DicomLimits:
    """The limits that the settings give."""
    return DicomLimits(
        instances=settings.max_study_instances, study_bytes=settings.max_study_bytes, pixels=settings.max_pixels
    )
