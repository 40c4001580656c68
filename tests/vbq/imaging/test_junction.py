"""The lumbosacral junction by shape alone: bodies and a sacrum of known measures, no image and no network."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.measurement import Reason
from tests.vbq.imaging.bodies_by_hand import body
from vbq.imaging.bodies import Body
from vbq.imaging.junction import junction_doubts, junction_of

PIXEL = (1.0, 1.0)
SPACE = 10.0


def column(lowest: Body, count: int = 4) -> list[Body]:
    """`count` sound bodies, 10 mm apart, the last of them in place of the lowest."""
    step = 26.0 + SPACE
    first = lowest.centre[0] - step * (count - 1)
    return [*(body(first + step * index) for index in range(count - 1)), lowest]


def sacrum(lowest: Body, space: float, wedge_deg: float) -> NDArray[np.bool_]:
    """A slab whose upper edge lies `space` below the lowest body and opens to the front by `wedge_deg`."""
    rows, columns = np.mgrid[:320, :140] + 0.5
    y, x = rows - lowest.centre[0], columns - lowest.centre[1]
    cos, sin = math.cos(lowest.angle_rad), math.sin(lowest.angle_rad)
    back, down = x * cos + y * sin, y * cos - x * sin
    edge = lowest.height_mm / 2 + space - back * math.tan(math.radians(wedge_deg))
    return np.asarray((down > edge) & (down < edge + 40) & (np.abs(back) < 20))


def _doubts(lowest: Body, mask: NDArray[np.bool_]) -> list[Reason]:
    rows, columns = np.nonzero(mask)
    top = (float(rows.min()) + 6.0, float(columns.mean()))
    return junction_doubts(column(lowest), mask, PIXEL, top)


def doubts(lowest: Body, space: float, wedge_deg: float) -> list[str]:
    return [reason.code for reason in _doubts(lowest, sacrum(lowest, space, wedge_deg))]


@given(st.floats(4, 14), st.floats(2, 28), st.floats(0, 30), st.floats(28, 38))
def test_what_was_drawn_is_what_is_measured(space: float, wedge: float, turned: float, depth: float) -> None:
    lowest = body(180, depth=depth, turned_deg=turned)
    seen = junction_of(column(lowest), sacrum(lowest, space, wedge), PIXEL)
    assert seen is not None
    assert seen.to_usual == pytest.approx(space / SPACE, abs=0.2)
    assert seen.wedge_deg == pytest.approx(wedge, abs=3)
    assert seen.turn_deg == pytest.approx(turned)
    assert seen.depth == pytest.approx(depth / 34)
    assert seen.squareness == pytest.approx(34 / depth)


def test_a_sound_junction_is_not_remarked_on() -> None:
    assert doubts(body(180, turned_deg=14), SPACE, 18) == []


def test_a_worn_disc_alone_is_not_taken_for_a_transitional_vertebra() -> None:
    assert doubts(body(180, turned_deg=14), 0.72 * SPACE, 16) == []
    assert doubts(body(180, turned_deg=14), 0.72 * SPACE, 8) == []


def test_a_lowest_body_that_lies_like_a_part_of_the_sacrum_must_be_confirmed() -> None:
    assert doubts(body(180, depth=31, turned_deg=22), 0.72 * SPACE, 8) == ["transitional"]


def test_a_disc_that_has_all_but_gone_must_be_confirmed_whatever_the_rest_looks_like() -> None:
    assert doubts(body(180, turned_deg=14), 0.4 * SPACE, 18) == ["transitional"]


def test_a_square_lowest_body_parallel_to_the_next_must_be_confirmed() -> None:
    assert doubts(body(180, depth=30, height=27, turned_deg=8), SPACE, 7) == ["transitional"]


def test_a_square_lowest_body_above_a_narrow_sacrum_must_be_confirmed() -> None:
    square = body(180, depth=30, height=27, turned_deg=8)
    slab = sacrum(square, SPACE, 18)
    assert _doubts(square, slab) == [], "as deep as it should be"
    rows, columns = np.mgrid[:320, :140] + 0.5
    down = (rows - square.centre[0]) * math.cos(square.angle_rad) - (columns - square.centre[1]) * math.sin(
        square.angle_rad
    )
    narrow = slab & ~((down > 45) & (np.abs(columns - np.nonzero(slab)[1].mean()) > 9))
    assert [reason.code for reason in _doubts(square, narrow)] == ["transitional"]


def test_too_few_bodies_or_too_little_sacrum_say_nothing() -> None:
    lowest = body(180)
    assert junction_of(column(lowest, 3), sacrum(lowest, SPACE, 15), PIXEL) is None
    assert junction_of(column(lowest), np.zeros((320, 140), dtype=bool), PIXEL) is None
