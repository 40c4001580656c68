"""A JPEG lossless encoder for tests (ISO 10918-1 annex H): one fixed code table of 17 codes, five bits and more."""

import struct

import numpy as np

LENGTHS = [0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]  # seventeen codes of six bits, categories 0 to 16


def encode_lossless(values: np.ndarray, *, predictor: int, precision: int = 16, restart_rows: int = 0) -> bytes:
    """`values` (rows, columns) of `precision` bits as a complete image, restarting every `restart_rows` rows."""
    rows, columns = values.shape
    sof = struct.pack(">BHHB", precision, rows, columns, 1) + bytes([1, 0x11, 0])
    table = bytes([0, *LENGTHS, *range(17)])
    sos = bytes([1, 1, 0, predictor, 0, 0])
    out = b"\xff\xd8" + _segment(0xC3, sof) + _segment(0xC4, table)
    if restart_rows:
        out += _segment(0xDD, struct.pack(">H", restart_rows * columns))
    out += _segment(0xDA, sos)
    step = restart_rows or rows
    bands = [values[top : top + step] for top in range(0, rows, step)]
    for number, band in enumerate(bands):
        out += _entropy(band.astype(int), predictor, precision)
        if number + 1 < len(bands):
            out += bytes([0xFF, 0xD0 + number % 8])
    return out + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def _entropy(band: np.ndarray, predictor: int, precision: int) -> bytes:
    bits = []
    for row in range(band.shape[0]):
        for column in range(band.shape[1]):
            difference = (int(band[row, column]) - _guess(band, row, column, predictor, precision)) & 0xFFFF
            difference = difference - 0x10000 if difference > 0x8000 else difference
            category = abs(difference).bit_length()
            bits.append(f"{category:06b}")
            if 0 < category < 16:
                extra = difference if difference > 0 else difference + (1 << category) - 1
                bits.append(f"{extra:0{category}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big")
    return data.replace(b"\xff", b"\xff\x00")


def _guess(band: np.ndarray, row: int, column: int, predictor: int, precision: int) -> int:
    if row == 0 and column == 0:
        return 1 << (precision - 1)
    left = int(band[row, column - 1]) if column else 0
    above = int(band[row - 1, column]) if row else 0
    if row == 0:
        return left
    if column == 0:
        return above
    corner = int(band[row - 1, column - 1])
    return (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )[predictor - 1]
