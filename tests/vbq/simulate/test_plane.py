"""Geometry of slices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbq.simulate.parameters import draw_parameters
from vbq.simulate.plane import Plane, dot
from vbq.simulate.stack import sagittal_stack

PLANE = Plane((10.0, -80.0, 120.0), (0.1, math.sqrt(0.99), 0.0), (0.0, 0.0, -1.0), (0.7, 0.6), (300, 280))


@given(st.floats(-50, 350), st.floats(-50, 350))
def test_a_pixel_and_its_place_are_inverse(row: float, column: float) -> None:
    assert PLANE.pixel_of(PLANE.position_of(row, column)) == pytest.approx((row, column), abs=1e-9)


@given(st.integers(0, 299), st.integers(0, 279))
def test_every_point_of_a_window_is_where_the_plane_says(row: int, column: int) -> None:
    points = PLANE.whole().points
    found = [float(np.broadcast_to(axis, PLANE.shape)[row, column]) for axis in (points.x, points.y, points.z)]
    assert found == pytest.approx(PLANE.position_of(row, column), abs=1e-3)


def test_a_list_of_pixels_has_the_same_places_as_the_window() -> None:
    rows, columns = np.array([0, 17, 299]), np.array([3, 279, 5])
    points = PLANE.at((rows, columns))
    for k in range(3):
        at = [float(axis[k] if len(axis) > 1 else axis[0]) for axis in (points.x, points.y, points.z)]
        assert at == pytest.approx(PLANE.position_of(int(rows[k]), int(columns[k])), abs=1e-3)


@given(st.floats(-60, 60), st.floats(-100, 100), st.floats(-60, 160), st.floats(0.5, 20))
def test_a_window_around_a_ball_misses_none_of_its_pixels(x: float, y: float, z: float, radius: float) -> None:
    points = PLANE.whole().points
    square = (points.x - x) ** 2 + (points.y - y) ** 2 + (points.z - z) ** 2
    rows, columns = np.nonzero(square < radius**2)
    window = PLANE.around((x, y, z), (radius, radius, radius))
    if window is None:
        assert not len(rows)
        return
    r, c = window.area
    assert isinstance(r, slice)
    assert isinstance(c, slice)
    assert ((rows >= r.start) & (rows < r.stop) & (columns >= c.start) & (columns < c.stop)).all()


@pytest.mark.parametrize("tilt", [-12.0, 0.0, 7.0])
def test_sagittal_slices_are_in_the_order_of_position_along_the_normal(tilt: float) -> None:
    parameters = draw_parameters(3, 4.0, tilt_deg=tilt)
    planes = sagittal_stack(parameters, (512, 512), parameters.pixel_mm)
    steps = np.diff([dot(plane.origin_mm, plane.normal) for plane in planes])
    assert steps == pytest.approx(np.full(len(planes) - 1, parameters.slice_mm + parameters.gap_mm))
    assert planes[0].origin_mm[0] > planes[-1].origin_mm[0], "the first slice is the patient's left"
