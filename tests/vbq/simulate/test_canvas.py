"""Shapes and painting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbq.simulate.canvas import Canvas, box, coverage, ellipsoid
from vbq.simulate.plane import Image, Plane
from vbq.simulate.texture import FLAT
from vbq.simulate.tissue import Tissue, marrow_alone, only, t1_contrast, without_marrow

SPACING = 0.5
PLANE = Plane((0.0, -32.0, 32.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (SPACING, SPACING), (129, 129))


def area_of(share: Image) -> float:
    return float(share.sum() * SPACING**2)


@given(st.floats(3, 20), st.floats(3, 20))
def test_the_shares_of_an_ellipse_add_up_to_its_area(a: float, b: float) -> None:
    points = PLANE.whole().points
    assert area_of(coverage(ellipsoid((points.y, a), (points.z, b)), SPACING)) == pytest.approx(np.pi * a * b, rel=0.04)


@given(st.floats(3, 20), st.floats(3, 20))
def test_the_shares_of_a_box_add_up_to_its_area(a: float, b: float) -> None:
    points = PLANE.whole().points
    assert area_of(coverage(box((points.y, a), (points.z, b)), SPACING)) == pytest.approx(4 * a * b, rel=0.03)


def test_what_is_painted_later_covers_what_lies_beneath() -> None:
    canvas = Canvas(PLANE, only(Tissue.CSF), FLAT, np.zeros(PLANE.shape, dtype=np.float32))
    window = PLANE.whole()
    square = box((window.points.y, 10.0), (window.points.z, 10.0))
    canvas.lay(window, square, Tissue.CSF)
    assert canvas.image[64, 64] == 1.0
    canvas.lay(window, square + 5, Tissue.NERVE)
    assert canvas.image[64, 64] == 0.0
    assert canvas.image[64, 64 + 15] == 1.0


def test_painting_is_linear_in_the_signal_of_a_tissue() -> None:
    contrast = t1_contrast(marrow=0.6, csf=0.15, nerve=1.5)
    images = []
    for one in (contrast, without_marrow(contrast), marrow_alone(contrast)):
        canvas = Canvas(PLANE, one, FLAT, np.zeros(PLANE.shape, dtype=np.float32))
        window = PLANE.whole()
        canvas.lay(window, box((window.points.y, 20.0), (window.points.z, 20.0)), Tissue.DEEP_FAT)
        canvas.lay(window, ellipsoid((window.points.y, 12.0), (window.points.z, 9.0)), Tissue.MARROW, share=0.7)
        canvas.lay(window, ellipsoid((window.points.y - 9, 5.0), (window.points.z, 9.0)), Tissue.CSF)
        images.append(canvas.image)
    np.testing.assert_allclose(images[0], images[1] + images[2], atol=1e-6)
