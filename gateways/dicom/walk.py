"""A bounded walk over a DICOM file's elements: the guard that runs before any library reads the file.

It builds nothing but the few values asked for, never recurses and stops at the pixel data. Bounds: number of elements,
nesting of undefined lengths, and inflated size (PS3.5 sections 7.1, 7.5 and A.5).
"""

import mmap
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import NotAcceptable, TooLarge

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
MAX_ELEMENTS = 50_000
MAX_NESTING = 16
MAX_INFLATED = 64 * 2**20
MAX_VALUE = 4096  # no value that we ask for is longer
UNDEFINED = 0xFFFFFFFF
PREAMBLE = 128
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})

Bytes = bytes | mmap.mmap


@dataclass
class Walk:
    """What was seen of one file up to its pixel data. `values` holds raw bytes by tag, top level only."""

    transfer_syntax: str = EXPLICIT_LE
    values: dict[int, bytes] = field(default_factory=dict)
    pixel_bytes: int | None = None
    """Length of the pixel data; None where there is none or it is encapsulated."""
    has_pixels: bool = False
    truncated: bool = False
    """The file ends before an element does."""
    header_bytes: int = 0
    """How much lies before the pixel data."""


def walk_file(path: Path, wanted: Collection[int]) -> Walk:
    """Walk one PS3.10 file. Raises NotAcceptable or TooLarge, naming neither path nor values."""
    if path.stat().st_size == 0:  # which cannot be mapped
        raise NotAcceptable("not a DICOM file: it is empty", code="dicom-prefix")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        meta, start = _meta(data)
        if meta == BIG_ENDIAN:
            raise NotAcceptable("Explicit VR Big Endian is not read; send little endian", code="transfer-syntax")
        if meta == DEFLATED_LE:
            return _walk(inflate(data[start:]), 0, Walk(transfer_syntax=meta), wanted)
        return _walk(data, start, Walk(transfer_syntax=meta), wanted)


def meta_end(data: Bytes) -> int:
    """Where the data set begins behind the file meta information."""
    return _meta(data)[1]


def inflate(data: bytes) -> bytes:
    """Inflate a deflated data set; raises TooLarge beyond MAX_INFLATED bytes, NotAcceptable where it is no deflate."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = inflater.decompress(data, MAX_INFLATED + 1)
    except zlib.error as error:
        raise NotAcceptable("a deflated DICOM file cannot be inflated; send it again", code="dicom-deflate") from error
    if len(out) > MAX_INFLATED:
        raise TooLarge(
            f"a deflated DICOM file inflates beyond {MAX_INFLATED >> 20} MiB; send it uncompressed", code="dicom-bomb"
        )
    return out


def _meta(data: Bytes) -> tuple[str, int]:
    """(transfer syntax, where the data set begins). Group 2 is always explicit little endian (PS3.10 section 7.1)."""
    if bytes(data[PREAMBLE : PREAMBLE + 4]) != b"DICM":
        raise NotAcceptable("not a DICOM file: the DICM prefix is missing", code="dicom-prefix")
    at, syntax = PREAMBLE + 4, IMPLICIT_LE
    while at + 8 <= len(data) and data[at : at + 2] == b"\x02\x00":
        try:
            tag, length, value_at = _element(data, at, explicit=True)
        except struct.error:
            length, value_at = UNDEFINED, at
        if length == UNDEFINED or value_at + length > len(data):
            raise NotAcceptable("a DICOM file ends within its meta information; send it again", code="dicom-truncated")
        if tag == 0x00020010:
            syntax = bytes(data[value_at : value_at + min(length, 64)]).decode("ascii", "replace").strip("\0 ")
        at = value_at + length
    return syntax, at


def _element(data: Bytes, at: int, *, explicit: bool) -> tuple[int, int, int]:
    """(tag, length, where the value begins) of the element at `at`; struct.error where the file ends within it."""
    group, number = struct.unpack_from("<HH", data, at)
    tag = (group << 16) | number
    if not explicit or group == 0xFFFE:
        return tag, struct.unpack_from("<I", data, at + 4)[0], at + 8
    if bytes(data[at + 4 : at + 6]) in LONG_VRS:
        return tag, struct.unpack_from("<I", data, at + 8)[0], at + 12
    return tag, struct.unpack_from("<H", data, at + 6)[0], at + 8


def _walk(data: Bytes, at: int, seen: Walk, wanted: Collection[int]) -> Walk:
    explicit = seen.transfer_syntax != IMPLICIT_LE
    depth, elements, end = 0, 0, len(data)
    modes: list[bool] = []
    while at < end:
        elements += 1
        if elements > MAX_ELEMENTS:
            raise TooLarge(f"a DICOM file has more than {MAX_ELEMENTS} elements", code="dicom-elements")
        try:
            tag, length, value_at = _element(data, at, explicit=explicit)
        except struct.error:
            seen.truncated = True
            return seen
        seen.header_bytes = at
        if depth == 0 and tag in PIXEL_TAGS:
            seen.has_pixels = True
            seen.pixel_bytes = None if length == UNDEFINED else length
            seen.truncated = length != UNDEFINED and value_at + length > end
            return seen
        if tag in (ITEM_END, SEQUENCE_END):
            if depth == 0:
                raise NotAcceptable("a DICOM file closes a sequence that it did not open", code="dicom-structure")
            depth -= 1
            explicit = modes.pop()
            at = value_at
        elif length == UNDEFINED:
            depth += 1
            if depth > 2 * MAX_NESTING:  # a sequence and its item are one level each
                raise TooLarge(f"a DICOM file nests deeper than {MAX_NESTING} sequences", code="dicom-nesting")
            modes.append(explicit)
            # A sequence of unknown representation is implicit little endian inside (PS3.5 section 6.2.2, note 2).
            explicit = explicit and bytes(data[at + 4 : at + 6]) != b"UN"
            at = value_at
        else:
            if value_at + length > end:
                seen.truncated = True
                return seen
            if depth == 0 and tag in wanted and length <= MAX_VALUE:
                seen.values[tag] = bytes(data[value_at : value_at + length])
            at = value_at + length
    seen.truncated = seen.truncated or depth > 0
    return seen
