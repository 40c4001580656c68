"""What the network is asked for at a pixel: one class, or one of several where the truth is not known or not defined.

A target is a bit mask: bit c set means that class c is an allowed answer. Most pixels allow one class. A transitional
vertebra allows body and sacrum, a metal void allows background besides what lies under it, and the SPIDER masks (which
do not tell CSF from roots) allow canal or CSF inside the canal.
"""

import numpy as np
from numpy.typing import NDArray

CLASSES = ("background", "vertebral_body", "sacrum", "disc", "canal", "csf")
BACKGROUND, BODY, SACRUM, DISC, CANAL, CSF = range(len(CLASSES))
ANYTHING = (1 << len(CLASSES)) - 1

Targets = NDArray[np.uint8]


def bit(*classes: int) -> int:
    """The target that allows exactly these classes."""
    return sum(1 << one for one in classes)


def as_targets(labels: NDArray[np.integer]) -> Targets:
    """Class numbers to targets that allow one class each; same shape."""
    return np.left_shift(1, labels.astype(np.int64)).astype(np.uint8)


def certain(targets: Targets) -> NDArray[np.bool_]:
    """True where exactly one class is allowed."""
    single: NDArray[np.bool_] = (targets & (targets - 1)) == 0
    return single


def as_labels(targets: Targets) -> NDArray[np.int64]:
    """The lowest allowed class of each pixel; equals the class where the target is certain."""
    lowest = targets.astype(np.int64) & -targets.astype(np.int64)
    labels: NDArray[np.int64] = np.log2(np.maximum(lowest, 1)).astype(np.int64)
    return labels
