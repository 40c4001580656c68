"""A slice as a picture with nothing drawn in it: the review page draws the regions over it, from the stored record."""

import io

import numpy as np
from PIL import Image

from vbq.imaging.volume import Slice

MOST_PIXELS_A_SIDE = 768  # of the picture; a lumbar slice has some 320 to 512


def plain_png(image: Slice) -> bytes:
    """PNG of the whole slice in 8-bit grey, made smaller where it is very large.

    The window is that of vbq/imaging/draw.py: percentiles 1 to 98, since fat next to the coil would swallow the range.
    """
    low, high = (float(value) for value in np.percentile(image.pixels, [1, 98]))
    shown = np.clip((image.pixels - low) / max(high - low, 1e-6), 0, 1) ** 0.85
    picture = Image.fromarray((shown * 255).astype(np.uint8))
    picture.thumbnail((MOST_PIXELS_A_SIDE, MOST_PIXELS_A_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=4)
    return out.getvalue()
