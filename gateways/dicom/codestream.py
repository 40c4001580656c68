"""How large a compressed frame says it is, read before a decoder allocates memory for it."""

import struct

from gateways.dicom.limits import JPEG_2000, JPEG_LOSSLESS, JPEG_LS

# Start-of-frame markers of JPEG and JPEG-LS (ISO 10918-1 table B.1, ISO 14495-1 C.2.2).
START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
RLE_HEADER = 64


def declared_size(frame: bytes, transfer_syntax: str) -> tuple[int, int] | None:
    """(rows, columns) in the codestream's own header; None where it has none that can be read."""
    try:
        if transfer_syntax in JPEG_2000:
            return _jpeg_2000(frame)
        if transfer_syntax in JPEG_LS | JPEG_LOSSLESS:
            return _jpeg(frame)
    except struct.error:
        return None
    return None


def rle_is_sound(frame: bytes, samples: int, bits_allocated: int) -> bool:
    """Whether an RLE frame has the segments that its image needs, inside the frame (PS3.5 annex G.5)."""
    if len(frame) < RLE_HEADER:
        return False
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != samples * bits_allocated // 8 or count > 15:
        return False
    used = offsets[:count]
    return used[0] >= RLE_HEADER and used == sorted(used) and used[-1] < len(frame)


def _jpeg_2000(frame: bytes) -> tuple[int, int] | None:
    """The SIZ marker follows SOC (ISO 15444-1 A.5.1): extent less offset of the reference grid."""
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0:
        return None
    width, height, left, top = struct.unpack_from(">IIII", frame, at + 8)
    return height - top, width - left


def _jpeg(frame: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return rows, columns
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None
