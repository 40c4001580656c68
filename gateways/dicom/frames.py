"""Enhanced multi-frame MR (PS3.3 C.7.6.16 and C.8.13): one file, many slices, each read as an instance of its own."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydicom import Dataset

from gateways.dicom.headers import Instance, orientation_of, spacing_of, triple_of
from gateways.dicom.limits import DicomLimits
from gateways.dicom.pixels import DECODER_ERRORS, quiet_pydicom, read_header
from schemas.errors import NotAcceptable, TooLarge

MAX_HEADER_BYTES = 8 * 2**20
ENHANCED = frozenset({"1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"})  # MR, legacy converted MR
PULSES = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "SE"}


def frames_of(instance: Instance, limits: DicomLimits) -> list[Instance]:
    """The frames of a multi-frame file; the instance itself where it is one image or says nothing of its frames.

    Raises NotAcceptable or TooLarge for headers that are broken or beyond bounds.
    """
    alone = instance.frames == 1 and (instance.position_mm is not None or instance.sop_class not in ENHANCED)
    if alone or instance.truncated or not instance.has_pixels:
        return [instance]
    if instance.frames > limits.instances:
        raise TooLarge(f"a file has more than {limits.instances} frames (VBQ_MAX_STUDY_INSTANCES)")
    if instance.header_bytes > MAX_HEADER_BYTES:
        raise TooLarge(f"a file's header is larger than {MAX_HEADER_BYTES >> 20} MiB")
    with quiet_pydicom():
        try:
            return split_frames(instance, read_header(instance))
        except (RecursionError, *DECODER_ERRORS) as error:
            raise NotAcceptable(
                "the frames of a multi-frame file cannot be told apart; send it again", code="multi-frame"
            ) from error


def split_frames(instance: Instance, dataset: Dataset) -> list[Instance]:
    """As frames_of, from the parsed header. Raises what nonsense in a header makes pydicom and float raise."""
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if len(groups) != instance.frames:
        return [instance]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    common = _common(instance, dataset)
    return [_frame(common, number, _Groups(group, shared)) for number, group in enumerate(groups, start=1)]


class _Groups:
    """Functional groups of one frame: its own, else those that all frames share."""

    def __init__(self, own: Dataset, shared: Dataset) -> None:
        self._own, self._shared = own, shared

    def get(self, group: str, keyword: str) -> Any:
        for place in (self._own, self._shared):
            for row in place.get(group) or []:
                if row.get(keyword) is not None:
                    return row.get(keyword)
        return None

    def floats(self, group: str, keyword: str) -> list[float]:
        value = self.get(group, keyword)
        if value is None:
            return []
        return [float(one) for one in value] if isinstance(value, Sequence) else [float(value)]


def _common(instance: Instance, dataset: Dataset) -> Instance:
    """What an enhanced file says once, under names of its own."""
    texts, codes = dict(instance.texts), dict(instance.codes)
    agents = dataset.get("ContrastBolusAgentSequence") or []
    if agents and "ContrastBolusAgent" not in texts:
        meanings = [str(row.get("CodeMeaning", "")) for row in agents]
        texts["ContrastBolusAgent"] = next((meaning for meaning in meanings if meaning), "given")
    pulse = PULSES.get(str(dataset.get("EchoPulseSequence", "")))
    if pulse and not codes.get("ScanningSequence"):
        codes["ScanningSequence"] = (pulse, "IR") if dataset.get("InversionRecovery") == "YES" else (pulse,)
    if dataset.get("PulseSequenceName") and "SequenceName" not in texts:
        texts["SequenceName"] = str(dataset.PulseSequenceName)
    if dataset.get("AcquisitionDateTime") and "AcquisitionTime" not in texts:
        texts["AcquisitionDate"], texts["AcquisitionTime"] = _moment(str(dataset.AcquisitionDateTime))
    codes["ScanOptions"] = (*codes.get("ScanOptions", ()), *_suppressed(dataset.get("SpectrallySelectedSuppression")))
    return replace(instance, texts=texts, codes=codes)


def _moment(value: str) -> tuple[str, str]:
    """YYYYMMDD and HHMMSS.FFFFFF of a DT value, which may end in an offset from UTC."""
    local = re.split(r"[-+]", value)[0]
    return local[:8], local[8:]


def _suppressed(value: Any) -> tuple[str, ...]:
    """As ScanOptions of single images say it (PS3.3 C.8.13.4.1)."""
    return ("FS",) if str(value or "").upper() in ("FAT", "FAT_AND_WATER") else ()


def _frame(common: Instance, number: int, groups: _Groups) -> Instance:
    numbers = dict(common.numbers)
    for name, group, keyword in (
        ("RepetitionTime", "MRTimingAndRelatedParametersSequence", "RepetitionTime"),
        ("FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle"),
        ("EchoTime", "MREchoSequence", "EffectiveEchoTime"),
        ("InversionTime", "MRModifierSequence", "InversionTimes"),
        ("SliceThickness", "PixelMeasuresSequence", "SliceThickness"),
    ):
        if values := groups.floats(group, keyword):
            numbers[name] = values[0]
    codes = dict(common.codes)
    kind = groups.get("MRImageFrameTypeSequence", "FrameType")
    if kind is not None and not isinstance(kind, str):
        codes["ImageType"] = tuple(str(part).upper() for part in kind)
    excited = str(groups.get("MRModifierSequence", "SpectrallySelectedExcitation") or "").upper()
    spectral = groups.get("MRModifierSequence", "SpectrallySelectedSuppression")  # some writers have it here
    if own := (*_suppressed(spectral), *(("FS",) if excited == "WATER" else ())):
        codes["ScanOptions"] = (*codes.get("ScanOptions", ()), *own)
    slope = groups.floats("PixelValueTransformationSequence", "RescaleSlope")
    intercept = groups.floats("PixelValueTransformationSequence", "RescaleIntercept")
    return replace(
        common,
        frame=number,
        instance_number=number if common.frames > 1 else common.instance_number,
        numbers=numbers,
        codes=codes,
        position_mm=triple_of(groups.floats("PlanePositionSequence", "ImagePositionPatient")),
        orientation=orientation_of(groups.floats("PlaneOrientationSequence", "ImageOrientationPatient")),
        pixel_spacing_mm=spacing_of(groups.floats("PixelMeasuresSequence", "PixelSpacing")),
        rescale=(slope[0], intercept[0]) if slope and intercept else None,
    )
