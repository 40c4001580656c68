"""The input of the segmentation network: one slice, resampled to the network's pixel and made robust to coil falloff.

Training and use share this file, so that the network never sees an image prepared in two ways.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

PIXEL_MM = 1.2
CHANNELS = 3
_LOCAL_BOX = 17  # pixels, passed twice: about 24 mm, a vertebra and its discs
_WIDE_BOX = 41  # about 57 mm
_FLOOR = 0.02  # of the bright end: below it lies noise, which must not be blown up


def normalise(image: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float32]:
    """Three views of a slice, (3, rows, columns): compressed signal, signal over its surroundings, local contrast.

    `image` is (rows, columns) at 1.2 mm, any positive scale; the result does not change with the scale.
    """
    scaled = np.clip(image.astype(np.float32) / (np.percentile(image, 99.5) + 1e-6), 0, 1.5).astype(np.float32)
    near = _smooth(scaled, _LOCAL_BOX)
    wide = _smooth(scaled, _WIDE_BOX)
    spread = np.sqrt(np.maximum(_smooth(scaled * scaled, _WIDE_BOX) - wide * wide, 0))
    return np.stack(
        [
            np.sqrt(scaled),
            np.clip(scaled / (near + _FLOOR), 0, 4) / 2,
            np.clip((scaled - wide) / (spread + _FLOOR), -2, 4) / 2,
        ]
    ).astype(np.float32)


def _smooth(image: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    """Two passes of a running mean: close to a Gaussian, at a cost that does not grow with the box."""
    once: NDArray[np.float32] = uniform_filter(image, box, mode="nearest")
    twice: NDArray[np.float32] = uniform_filter(once, box, mode="nearest")
    return twice
