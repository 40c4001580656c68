"""A body cut by the image's edge, whose last row is dark, as scanners leave it."""

import numpy as np

from tests.vbq.imaging.bodies_by_hand import body
from vbq.imaging.canonical import sagittal_view
from vbq.imaging.metal_artefact import metal_near
from vbq.imaging.volume import Slice


def test_what_lies_beyond_the_image_is_not_metal() -> None:
    pixels = np.full((180, 100), 100.0, dtype=np.float32)
    pixels[0] = 3.0
    image = Slice("2.25.1", pixels, (0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (1.0, 1.0))
    bodies = [body(7.0 + 35 * k, x=50.0, depth=32.0, height=22.0, cut=k == 0) for k in range(5)]
    assert metal_near(bodies, sagittal_view(image), 100.0) == []
    pixels[60:90, 40:60] = 3.0
    assert metal_near(bodies, sagittal_view(image), 100.0) == [2]
