"""Philips' private scale slope, which makes signal comparable between slices and series."""

import math
from typing import Any

from pydicom import Dataset

CREATOR = "PHILIPS MR IMAGING DD 001"
GROUP, ELEMENT = 0x2005, 0x0E
FRAMES_CREATOR = "PHILIPS MR IMAGING DD 005"
FRAMES_ELEMENT = 0x0F  # a private sequence per frame of enhanced images: usually (2005,140F)


def philips_scale_slope(dataset: Dataset, frame: int | None) -> float | None:
    """The MR scale slope (2005,100E) of a data set, or of one of its frames (from 1); None where there is none.

    Private elements count only in the block that names Philips as its creator (PS3.5 section 7.8.1).
    """
    if frame is None:
        return _slope(dataset)
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if frame > len(groups):
        return None
    for inner in _private(groups[frame - 1], FRAMES_CREATOR, FRAMES_ELEMENT) or []:
        if (found := _slope(inner)) is not None:
            return found
    return None


def _slope(dataset: Dataset) -> float | None:
    value = _private(dataset, CREATOR, ELEMENT)
    if isinstance(value, bytes) or value is None:
        return None  # implicit VR without a dictionary entry
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("scale slope")
    return number


def _private(dataset: Dataset, creator: str, element: int) -> Any:
    for block in range(0x10, 0x100):
        tag = (GROUP, block)
        if tag not in dataset:
            continue
        if str(dataset[tag].value).strip().upper() == creator:
            wanted = (GROUP, (block << 8) | element)
            return dataset[wanted].value if wanted in dataset else None
    return None
