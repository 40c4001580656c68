"""What the decoder's process and its owner say to each other: frames of MessagePack, pixels behind them as they are.

request     length of the document (4 bytes), document
answer      length of the document (4 bytes), length of the pixels (8 bytes), document, pixels (float32, little endian)

Nothing is unpickled, and every answer is decoded into the types below or refused.
"""

import os
import struct
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from schemas.measurement import Reason
from vbq.imaging.volume import Orientation, Slice, Vector

REQUEST = struct.Struct("<I")
ANSWER = struct.Struct("<IQ")
MAX_DOCUMENT = 64 * 2**20
"""The images of one file with 2,000 frames take about 4 MiB."""


class Request(msgspec.Struct, frozen=True):
    """Read the headers of `paths`, or the pixels of `instances`: one answer each, in order."""

    limits: DicomLimits
    seconds: int
    """For one file or image."""
    paths: list[bytes] = []
    """As the file system has them: a name need not be text."""
    instances: list[Instance] = []


class Picture(msgspec.Struct, frozen=True):
    """A slice without its pixels, which follow the document."""

    sop_instance_uid: str
    rows: int
    columns: int
    position_mm: Vector
    orientation: Orientation
    pixel_spacing_mm: tuple[float, float]
    instance_number: int | None
    ceiling: float | None


class Answer(msgspec.Struct, frozen=True):
    """What became of one file or image."""

    kind: Literal["ready", "headers", "slice", "reason", "defect"]
    instances: list[Instance] = []
    picture: Picture | None = None
    code: str = ""
    text: str = ""


def answer_of(found: list[Instance] | Slice | Reason) -> tuple[bytes, memoryview]:
    """The document and the pixels of an answer."""
    pixels = memoryview(b"")
    if isinstance(found, Reason):
        answer = Answer("reason", code=found.code, text=found.text)
    elif isinstance(found, Slice):
        rows, columns = found.pixels.shape
        pixels = np.ascontiguousarray(found.pixels, dtype="<f4").data.cast("B")
        answer = Answer(
            "slice",
            picture=Picture(
                sop_instance_uid=found.sop_instance_uid,
                rows=rows,
                columns=columns,
                position_mm=found.position_mm,
                orientation=found.orientation,
                pixel_spacing_mm=found.pixel_spacing_mm,
                instance_number=found.instance_number,
                ceiling=found.ceiling,
            ),
        )
    else:
        answer = Answer("headers", instances=found)
    return encode(answer), pixels


def slice_of(picture: Picture, pixels: "np.ndarray[Any, np.dtype[np.float32]]") -> Slice:
    """A slice from its answer."""
    return Slice(
        sop_instance_uid=picture.sop_instance_uid,
        pixels=pixels,
        position_mm=picture.position_mm,
        orientation=picture.orientation,
        pixel_spacing_mm=picture.pixel_spacing_mm,
        instance_number=picture.instance_number,
        ceiling=picture.ceiling,
    )


def encode(document: Request | Answer) -> bytes:
    """A document as MessagePack."""
    return msgspec.msgpack.encode(document, enc_hook=_plain)


def decode_request(content: bytes | bytearray) -> Request:
    """Raises msgspec.ValidationError or DecodeError where it is none."""
    return msgspec.msgpack.decode(content, type=Request, dec_hook=_own)


def decode_answer(content: bytes | bytearray) -> Answer:
    """Raises msgspec.ValidationError or DecodeError where it is none."""
    return msgspec.msgpack.decode(content, type=Answer, dec_hook=_own)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return os.fsencode(value)  # names in odd bytes are no text that MessagePack could hold
    raise NotImplementedError  # msgspec's way for a hook to say "not mine"


def _own(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, bytes):
        return Path(os.fsdecode(value))
    raise NotImplementedError  # as above
