"""Pixels of one instance: checked against its header first, decoded second, rescaled last."""

import logging
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, config, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from gateways.dicom.codestream import declared_size, rle_is_sound
from gateways.dicom.headers import Instance
from gateways.dicom.jpeg_lossless import MAX_PIXELS as MAX_JPEG_PIXELS
from gateways.dicom.jpeg_lossless import decode_lossless
from gateways.dicom.limits import DECODABLE, JPEG_LOSSLESS, JPEG_LS, NAMES, NATIVE, RLE, DicomLimits
from gateways.dicom.philips import philips_scale_slope
from gateways.dicom.walk import DEFLATED_LE, EXPLICIT_LE, inflate, meta_end
from schemas.measurement import Reason
from vbq.imaging.volume import Slice

# What the decoders raise on broken input; pylibjpeg's Rust code adds a PanicException below BaseException.
DECODER_ERRORS = (
    ValueError,
    RuntimeError,
    AttributeError,
    LookupError,
    TypeError,
    OSError,
    EOFError,
    struct.error,
    MemoryError,
    BytesLengthException,
    InvalidDicomError,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds below
MAX_UID = 64
LARGEST = 1e12  # of a slope or an intercept: beyond, single precision overflows


def obstacle(instance: Instance, limits: DicomLimits) -> Reason | None:
    """Why the pixels of `instance` must not or cannot be decoded, from its header alone; None where they can."""
    syntax = instance.transfer_syntax
    if syntax not in DECODABLE:
        name = syntax_name(syntax)
        return Reason(code="transfer-syntax", text=f"{name} is not decoded; send uncompressed, RLE or a lossless JPEG")
    if (instance.sop_class or "").startswith(SECONDARY_CAPTURE):
        text = "a secondary capture is a picture of an image, without the scanner's values; send the MR images"
        return Reason(code="secondary-capture", text=text)
    if "MOSAIC" in instance.codes.get("ImageType", ()):
        text = "a Siemens mosaic tiles many slices in one image without their positions; send the slices themselves"
        return Reason(code="mosaic", text=text)
    if not instance.has_pixels:
        text = "the file ends before its pixels" if instance.truncated else "the file has no pixel data"
        return Reason(code="truncated" if instance.truncated else "no-pixels", text=text)
    if instance.rows * instance.columns * instance.frames > limits.pixels:
        text = f"rows x columns x frames exceed {limits.pixels} (VBQ_MAX_PIXELS)"
        return Reason(code="too-many-pixels", text=text)
    if instance.rows < 16 or instance.columns < 16:
        return Reason(code="too-few-pixels", text="rows and columns must be at least 16")
    if syntax in JPEG_LOSSLESS and instance.rows * instance.columns > MAX_JPEG_PIXELS:
        return Reason(code="too-many-pixels", text="an image in JPEG lossless has more pixels than are decoded")
    if instance.frames > 1 and instance.frame is None:
        text = "the file holds several frames and does not say where they lie; send enhanced MR or one image per file"
        return Reason(code="multi-frame", text=text)
    if instance.samples != 1:
        return Reason(code="colour", text="a colour image holds no signal intensities")
    if instance.bits_allocated not in (8, 16, 32) or not 1 <= instance.bits_stored <= instance.bits_allocated:
        return Reason(code="bits", text="bits allocated and bits stored do not fit together")
    needed = instance.rows * instance.columns * instance.frames * instance.bits_allocated // 8
    if instance.truncated or (instance.pixel_bytes is not None and instance.pixel_bytes < needed):
        return Reason(code="truncated", text="the file has fewer pixels than rows x columns; send it again")
    geometry = {
        "position": instance.position_mm,
        "orientation": instance.orientation,
        "pixel spacing": instance.pixel_spacing_mm,
    }
    if missing := [name for name, value in geometry.items() if value is None]:
        text = f"{' and '.join(missing)} missing or makes no sense (position, orientation and pixel spacing are needed)"
        return Reason(code="no-geometry", text=text)
    return None


def syntax_name(syntax: str) -> str:
    """A transfer syntax in words, as a person would look it up."""
    if syntax in NAMES:
        return NAMES[syntax]
    if len(syntax) > MAX_UID or not re.fullmatch(r"[0-9.]+", syntax):
        return "a compression that is not known here"
    uid = UID(syntax, config.IGNORE)
    known = not uid.is_private and uid.type == "Transfer Syntax"
    return uid.name if known else f"a compression that is not known here ({syntax})"


def load_slice(instance: Instance, limits: DicomLimits, opened: dict[Path, Dataset] | None = None) -> Slice | Reason:
    """Decode and rescale one instance; a Reason where that cannot be done. Never raises for what the file holds.

    `opened` keeps the last file between calls, for the frames of one file.
    """
    if (reason := obstacle(instance, limits)) is not None:
        return reason
    with quiet_pydicom():
        try:
            return _decode(instance, {} if opened is None else opened)
        except RecursionError:
            return Reason(code="nesting", text="the file nests too deeply")
        except DECODER_ERRORS:
            pass
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
    return Reason(code="not-decodable", text="the pixels cannot be decoded; send the file again or uncompressed")


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Pydicom's warnings and log lines repeat values of the header, and a header is a patient's."""
    logger = logging.getLogger("pydicom")
    was, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was


def _decode(instance: Instance, opened: dict[Path, Dataset]) -> Slice | Reason:
    dataset = opened.get(instance.path)
    if dataset is None:
        opened.clear()
        dataset = opened[instance.path] = read_dataset_bounded(instance.path, instance.transfer_syntax)
    if "ModalityLUTSequence" in dataset:
        return Reason(code="modality-lut", text="signal intensities behind a modality lookup table are not read")
    if "PixelData" not in dataset:
        if "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
            return Reason(code="not-decodable", text="the file's elements break off before its pixels; send it again")
        text = "the pixels are floating point numbers (a computed map?), not stored signal; send the scanner's images"
        return Reason(code="float-pixels", text=text)
    stored = _stored(instance, dataset)
    if isinstance(stored, Reason):
        return stored
    scale = _scale(instance, dataset)
    if scale is None:
        text = "the rescale slope, its intercept or the scale slope makes no sense (zero, endless or not a number)"
        return Reason(code="rescale", text=text)
    slope, intercept = scale
    signed = int(dataset.get("PixelRepresentation", 0) or 0) == 1
    highest = 2 ** (instance.bits_stored - int(signed)) - 1
    lowest = -(2 ** (instance.bits_stored - 1)) if signed else 0
    assert instance.position_mm is not None
    assert instance.orientation is not None
    assert instance.pixel_spacing_mm is not None
    return Slice(
        sop_instance_uid=instance.slice_uid,
        pixels=np.asarray(stored, dtype=np.float32) * np.float32(slope) + np.float32(intercept),
        position_mm=instance.position_mm,
        orientation=instance.orientation,
        pixel_spacing_mm=instance.pixel_spacing_mm,
        instance_number=instance.instance_number,
        ceiling=(highest if slope > 0 else lowest) * slope + intercept,
    )


def _stored(instance: Instance, dataset: Dataset) -> npt.NDArray[Any] | Reason:
    """Stored values (rows, columns) of the instance's frame, without what lies in unused bits."""
    syntax, index = dataset.file_meta.TransferSyntaxUID, (instance.frame or 1) - 1
    signed = int(dataset.get("PixelRepresentation", 0) or 0) == 1
    shift = int(dataset.get("HighBit") or instance.bits_stored - 1) + 1 - instance.bits_stored
    if syntax in NATIVE:
        if not 0 <= shift <= instance.bits_allocated - instance.bits_stored:
            return Reason(code="bits", text="the high bit does not fit bits stored and allocated")
        return _used_bits(_native(instance, dataset, index), instance, shift, signed=signed)
    # The decoder of RLE drops what lies above the stored bits; a JPEG's values have their own place.
    if syntax == RLE and shift:
        return Reason(code="bits", text="the values are shifted up within an RLE image; send it uncompressed")
    frame = get_frame(dataset.PixelData, index, number_of_frames=instance.frames)
    size = declared_size(frame, syntax)
    if size is not None and size != (instance.rows, instance.columns):
        return Reason(code="size-contradiction", text="the compressed image is not of the size that its header says")
    if syntax == RLE and not rle_is_sound(frame, instance.samples, instance.bits_allocated):
        return Reason(code="not-decodable", text="the RLE segments do not fit the image; send the file again")
    if syntax in JPEG_LOSSLESS:
        return decode_lossless(frame, signed=signed)
    plugin = "pyjpegls" if syntax in JPEG_LS else "pylibjpeg"
    return get_decoder(syntax).as_array(dataset, index=index, raw=True, decoding_plugin=plugin)[0]


def _native(instance: Instance, dataset: Dataset, index: int) -> npt.NDArray[Any]:
    """All allocated bits of a frame, unsigned; pydicom would drop those above the stored ones, wherever these lie."""
    count = instance.rows * instance.columns
    size = instance.bits_allocated // 8
    values = np.frombuffer(dataset.PixelData, dtype=f"<u{size}", count=count, offset=index * count * size)
    return values.reshape(instance.rows, instance.columns)


def _used_bits(stored: npt.NDArray[Any], instance: Instance, shift: int, *, signed: bool) -> npt.NDArray[Any]:
    """Old images keep overlays in the bits above the stored ones, and some shift the values up (PS3.5 8.1.1)."""
    bits = instance.bits_stored
    if bits == instance.bits_allocated and not signed:
        return stored
    values = (stored.astype(np.int64) >> shift) & ((1 << bits) - 1)
    sign = 1 << (bits - 1)
    return values - 2 * (values & sign) if signed else values


def _scale(instance: Instance, dataset: Dataset) -> tuple[float, float] | None:
    """(slope, intercept) from stored values to signal; None where they make no sense.

    Philips' stored values become comparable between slices only by their private scale slope SS (2005,xx0E):
    FP = (PV x RS + RI) / (RS x SS), with the public rescale RS and RI (Chenevert 2014, doi:10.1593/tlo.13811).
    """
    slope, intercept = instance.rescale or (
        _number(dataset, "RescaleSlope", 1.0),
        _number(dataset, "RescaleIntercept", 0.0),
    )
    if slope == 0 or not (abs(slope) < LARGEST and abs(intercept) < LARGEST):  # nor where one is not a number
        return None
    scale_slope = philips_scale_slope(dataset, instance.frame)
    if scale_slope is None:
        return slope, intercept
    if scale_slope <= 0:
        return None
    return 1 / scale_slope, intercept / (slope * scale_slope)


def read_dataset_bounded(path: Path, transfer_syntax: str) -> Dataset:
    """The whole data set. A deflated one is inflated within bounds here: pydicom would inflate without any."""
    if transfer_syntax != DEFLATED_LE:
        return dcmread(path)
    data = path.read_bytes()
    dataset = read_dataset(BytesIO(inflate(data[meta_end(data) :])), is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LE  # type: ignore[assignment]  # pydicom makes a UID of it
    return dataset


def read_header(instance: Instance) -> Dataset:
    """Everything of an instance but its pixels. Raises what pydicom raises where the file is broken."""
    if instance.transfer_syntax == DEFLATED_LE:
        dataset = read_dataset_bounded(instance.path, instance.transfer_syntax)
        del dataset.PixelData
        return dataset
    return dcmread(instance.path, stop_before_pixels=True)


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    """PS3.3 C.11.1: without a rescale the stored values are the values."""
    value = dataset.get(keyword)
    if value is None:
        return default
    return float(value)
