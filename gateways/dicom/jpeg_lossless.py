"""JPEG lossless, processes 14 and 14 SV1 (ISO/IEC 10918-1 annex H), one component: what many scanners archive.

Written out because the known decoder (pylibjpeg-libjpeg) is GPL. Here is the file's structure; jpeg_huffman.py and
jpeg_prediction.py decode what is in it.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateways.dicom.jpeg_huffman import Values, codes_of, differences
from gateways.dicom.jpeg_prediction import predicted

MAX_PIXELS = 2048 * 2048  # of one image: 0.5 s
SOF3, DHT, SOS, DRI, EOI = 0xC3, 0xC4, 0xDA, 0xDD, 0xD9
RESTARTS = range(0xD0, 0xD8)


class _Header(NamedTuple):
    precision: int
    rows: int
    columns: int
    predictor: int
    point_transform: int
    restart_interval: int
    table: bytes
    """Counts of codes by length (16 bytes), then their categories."""
    data_at: int


def decode_lossless(frame: bytes, *, signed: bool) -> npt.NDArray[np.int32]:
    """Stored values (rows, columns). Raises ValueError for what is no such image, or is cut short."""
    header = _header(frame)
    if header.rows * header.columns > MAX_PIXELS:
        raise ValueError("more pixels than are decoded")
    first = 1 << (header.precision - header.point_transform - 1) if header.precision > header.point_transform else 0
    values = np.concatenate([predicted(band, header.predictor, first) for band in _bands(frame, header)])
    if values.shape[0] != header.rows:
        raise ValueError("rows are missing")
    values = (values << header.point_transform) & 0xFFFF
    if signed:
        sign = 1 << (header.precision - 1)
        values = (values & (2 * sign - 1)) - 2 * (values & sign)
    return values.astype(np.int32)


def _header(frame: bytes) -> _Header:
    if frame[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    at, restart, size = 2, 0, (0, 0, 0)
    tables: dict[int, bytes] = {}
    while True:
        try:
            mark, marker, length = struct.unpack_from(">BBH", frame, at)
            segment = frame[at + 4 : at + 2 + length]
            at += 2 + length
            if mark != 0xFF or length < 2:
                raise ValueError("no marker")
            if marker == SOF3:
                precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
                if components != 1 or not 2 <= precision <= 16 or rows == 0 or columns == 0:
                    raise ValueError("not one component of 2 to 16 bits")
                size = precision, rows, columns
            elif marker == DHT:
                tables.update(_tables(segment))
            elif marker == DRI:
                restart = int(struct.unpack_from(">H", segment)[0])
            elif marker == SOS:
                count, _, selector, predictor, _, transform = struct.unpack_from(">BBBBBB", segment)
                if count != 1 or size[0] == 0 or selector >> 4 not in tables or not 1 <= predictor <= 7:
                    raise ValueError("the scan does not fit the image")
                return _Header(*size, predictor, transform & 15, restart, tables[selector >> 4], at)
            elif marker == EOI or marker in range(0xC0, 0xD0):
                raise ValueError("not a lossless image")
        except struct.error as error:
            raise ValueError("the image ends in its header") from error


def _tables(segment: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 17 <= len(segment):
        end = at + 17 + sum(segment[at + 1 : at + 17])
        yield segment[at] & 15, segment[at + 1 : end]
        at = end


def _bands(frame: bytes, header: _Header) -> Iterator[Values]:
    """Differences (rows, columns) of each restart interval, which starts its prediction anew."""
    codes = codes_of(header.table)
    rows_each = header.restart_interval // header.columns if header.restart_interval else header.rows
    if rows_each == 0 or (header.restart_interval and header.restart_interval % header.columns):
        raise ValueError("a restart interval is not of whole rows")
    left = header.rows
    for data in _segments(frame, header.data_at):
        if left <= 0:
            return
        rows = min(rows_each, left)
        left -= rows
        yield differences(data, rows * header.columns, codes).reshape(rows, header.columns)


def _segments(frame: bytes, at: int) -> Iterator[bytes]:
    """Entropy-coded data between restart markers, without stuffed bytes (ISO 10918-1 B.1.1.5)."""
    start = at
    while True:
        at = frame.find(b"\xff", at)
        if at < 0 or at + 1 >= len(frame):
            yield frame[start:].replace(b"\xff\x00", b"\xff")
            return
        if frame[at + 1] == 0 or frame[at + 1] == 0xFF:
            at += 2 if frame[at + 1] == 0 else 1
            continue
        yield frame[start:at].replace(b"\xff\x00", b"\xff")
        if frame[at + 1] not in RESTARTS:
            return
        at = start = at + 2
