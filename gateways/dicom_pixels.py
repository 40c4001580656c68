"""Pixels of one instance: checked against its header first, decoded second, rescaled last."""

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder

from gateways.dicom_codestream import declared_size, rle_is_sound
from gateways.dicom_headers import Instance
from gateways.dicom_limits import DECODABLE, JPEG_LS, NAMES, NATIVE, RLE, DicomLimits
from gateways.dicom_walk import DEFLATED_LE, EXPLICIT_LE, inflate, meta_end
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


def obstacle(instance: Instance, limits: DicomLimits) -> Reason | None:
    """Why the pixels of `instance` must not or cannot be decoded, from its header alone; None where they can."""
    syntax = instance.transfer_syntax
    if syntax not in DECODABLE:
        name = NAMES.get(syntax, "a compression that is not known here")
        return Reason(
            code="transfer-syntax", text=f"{name} is not decoded; send uncompressed, RLE, JPEG-LS or JPEG 2000"
        )
    if not instance.has_pixels:
        text = "the file ends before its pixels" if instance.truncated else "the file has no pixel data"
        return Reason(code="truncated" if instance.truncated else "no-pixels", text=text)
    if instance.rows * instance.columns * instance.frames > limits.pixels:
        text = f"rows x columns x frames exceed {limits.pixels} (VBQ_MAX_PIXELS)"
        return Reason(code="too-many-pixels", text=text)
    if instance.rows < 16 or instance.columns < 16:
        return Reason(code="too-few-pixels", text="rows and columns must be at least 16")
    if instance.frames > 1:
        return Reason(code="multi-frame", text="multi-frame (enhanced) MR is not read yet; send one image per file")
    if instance.samples != 1:
        return Reason(code="colour", text="a colour image holds no signal intensities")
    if instance.bits_allocated not in (8, 16, 32) or not 1 <= instance.bits_stored <= instance.bits_allocated:
        return Reason(code="bits", text="bits allocated and bits stored do not fit together")
    needed = instance.rows * instance.columns * instance.bits_allocated // 8
    if instance.truncated or (instance.pixel_bytes is not None and instance.pixel_bytes < needed):
        return Reason(code="truncated", text="the file has fewer pixels than rows x columns; send it again")
    if instance.position_mm is None or instance.orientation is None or instance.pixel_spacing_mm is None:
        return Reason(code="no-geometry", text="position, orientation or pixel spacing is missing or makes no sense")
    return None


def load_slice(instance: Instance, limits: DicomLimits) -> Slice | Reason:
    """Decode and rescale one instance; a Reason where that cannot be done. Never raises for what the file holds."""
    if (reason := obstacle(instance, limits)) is not None:
        return reason
    with quiet_pydicom():
        try:
            return _decode(instance)
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


def _decode(instance: Instance) -> Slice | Reason:
    dataset = read_dataset_bounded(instance.path, instance.transfer_syntax)
    if "ModalityLUTSequence" in dataset:
        return Reason(code="modality-lut", text="signal intensities behind a modality lookup table are not read")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in NATIVE:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        size = declared_size(frame, syntax)
        if size is not None and size != (instance.rows, instance.columns):
            return Reason(
                code="size-contradiction", text="the compressed image is not of the size that its header says"
            )
        if syntax == RLE and not rle_is_sound(frame, instance.samples, instance.bits_allocated):
            return Reason(code="not-decodable", text="the RLE segments do not fit the image; send the file again")
    plugin = "" if syntax in NATIVE else "pyjpegls" if syntax in JPEG_LS else "pylibjpeg"
    stored, _ = get_decoder(syntax).as_array(dataset, index=0, raw=True, decoding_plugin=plugin)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        return Reason(code="rescale", text="the rescale slope is zero")
    signed = int(dataset.get("PixelRepresentation", 0) or 0) == 1
    highest = 2 ** (instance.bits_stored - int(signed)) - 1
    assert instance.position_mm is not None
    assert instance.orientation is not None
    assert instance.pixel_spacing_mm is not None
    return Slice(
        sop_instance_uid=instance.sop_instance_uid,
        pixels=np.asarray(stored, dtype=np.float32) * np.float32(slope) + np.float32(intercept),
        position_mm=instance.position_mm,
        orientation=instance.orientation,
        pixel_spacing_mm=instance.pixel_spacing_mm,
        instance_number=instance.instance_number,
        ceiling=highest * slope + intercept,
    )


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
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(keyword)
    return number
