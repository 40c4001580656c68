"""Endplates, axes and slips of bodies that are no rectangles, drawn by hand at 1 mm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.vbq.imaging.bodies_by_hand import Corners, body, filled, map_of
from vbq.imaging.bodies import find_bodies
from vbq.imaging.endplates import endplate
from vbq.imaging.listhesis import slip_mm, slips
from vbq.imaging.numbering import number_bodies

SHAPE = (260, 140)
PIXEL = (1.0, 1.0)


def box(y: float, x: float, depth: float, height: float) -> Corners:
    up, down, front, back = y - height / 2, y + height / 2, x - depth / 2, x + depth / 2
    return [(up, front), (up, back), (down, back), (down, front)]


def wedge(y: float, x: float, *, upper_deg: float, lower_deg: float, walls_deg: float, depth: float = 32.0) -> Corners:
    """A body whose plates are turned by so much (front down) and whose walls lean back by `walls_deg` going down."""
    lean = math.tan(math.radians(walls_deg))
    corners = []
    for end, turned, sides in ((-1, upper_deg, (-1, 1)), (1, lower_deg, (1, -1))):
        slope = -math.tan(math.radians(turned))
        for side in sides:
            across = side * depth / 2 + lean * end * 13.0
            corners.append((y + end * 13.0 + slope * (across - lean * end * 13.0), x + across))
    return corners


def above(corners: Corners, count: int = 3) -> list[NDArray[np.bool_]]:
    """Square bodies above the outline's upper plate, none slipped on the next, then the outline itself."""
    middle = (corners[0][0] + corners[1][0]) / 2, (corners[0][1] + corners[1][1]) / 2
    squares = [box(middle[0] - 23.0 - 36.0 * k, middle[1], 32.0, 26.0) for k in reversed(range(count))]
    return [filled(one, SHAPE) for one in (*squares, corners)]


def test_the_plates_of_a_wedge_have_their_own_slopes() -> None:
    corners = wedge(200, 70, upper_deg=8, lower_deg=30, walls_deg=14)
    *_, lowest = find_bodies(map_of(above(corners)), PIXEL)
    assert math.degrees(lowest.upper_plate.angle_rad) == pytest.approx(-8, abs=3)
    assert math.degrees(lowest.lower_plate.angle_rad) == pytest.approx(-30, abs=3)
    for found, drawn in zip((lowest.upper_plate.front, lowest.upper_plate.back), corners[:2], strict=True):
        assert math.dist(found, drawn) < 3.5


@given(st.floats(0, 16), st.floats(12, 22), st.floats(0, 20))
def test_a_wedge_that_has_not_slipped_is_no_listhesis(upper: float, more: float, walls: float) -> None:
    bodies = find_bodies(map_of(above(wedge(200, 70, upper_deg=upper, lower_deg=upper + more, walls_deg=walls))), PIXEL)
    assert len(bodies) == 4
    assert slips(bodies) == {}


@pytest.mark.parametrize("slipped", [-7.0, 7.0])
def test_a_slip_is_measured_along_the_disc(slipped: float) -> None:
    upper, lower = body(100, turned_deg=20, x=60), body(136 * 1.0, turned_deg=20, x=60)
    cos, sin = math.cos(lower.angle_rad), math.sin(lower.angle_rad)
    square_to_it = body(100 + 36 * cos, x=60 - 36 * sin, turned_deg=20)
    assert slip_mm(upper, square_to_it) == pytest.approx(0, abs=1e-9)
    moved = body(100 + slipped * sin, x=60 + slipped * cos, turned_deg=20)
    assert slip_mm(moved, square_to_it) == pytest.approx(slipped)
    assert list(slips([moved, square_to_it]).values()) == [pytest.approx(7.0)]


def test_one_corner_off_is_a_spur_not_a_slip() -> None:
    assert slip_mm(body(100, depth=34), body(136, depth=44)) == 0.0


def test_a_square_body_is_not_laid_on_its_side() -> None:
    """A rhombus as high as deep has its long axis along a diagonal (vb2-16's L5 did)."""
    corners = [(186.0, 54.0), (172.0, 80.0), (204.0, 92.0), (216.0, 66.0)]
    *_, lowest = find_bodies(map_of(above(corners)), PIXEL)
    assert -45 < math.degrees(lowest.angle_rad) < -10


def test_a_body_too_small_for_a_plate_has_none() -> None:
    assert endplate(np.zeros((61, 61), dtype=bool), -1) is None
    assert endplate(np.pad(np.ones((4, 4), dtype=bool), 28), 1) is None


@pytest.mark.parametrize(("bridged", "asked"), [(0.0, False), (0.4, True), (1.0, True)])
def test_bone_that_has_grown_across_the_lowest_disc_is_asked_about(bridged: float, asked: bool) -> None:
    column = [filled(box(40.0 + 36 * k, 70, 32, 26), SHAPE) for k in range(5)]
    sacrum = filled([(206.0, 54.0), (206.0, 86.0), (250.0, 82.0), (250.0, 66.0)], SHAPE)
    disc = filled([(198.0, 54.0), (198.0, 86.0 - 32 * bridged), (205.0, 86.0 - 32 * bridged), (205.0, 54.0)], SHAPE)
    seen = map_of(column, disc if bridged < 1 else None, sacrum)
    codes = [doubt.code for doubt in number_bodies(find_bodies(seen, PIXEL), seen, PIXEL).unconfirmed]
    assert ("sacrum-merged" in codes) is asked
