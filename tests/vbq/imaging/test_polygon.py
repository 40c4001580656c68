"""Outlines: filling and tracing undo one another, and an ellipse comes back out of its own outline."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse
from vbq.imaging.polygon import ellipse_of_axes, ellipse_of_outline, mask_outline, outline_mask, with_edge_pixels
from vbq.imaging.regions import mask_of


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_tracing_a_mask_and_filling_it_again_gives_the_mask(mask: np.ndarray) -> None:
    if not mask.any():
        return
    rows, columns, filled = outline_mask(mask_outline(mask, 2, 3), 20, 20, (1.0, 1.0))
    whole = np.zeros((20, 20), dtype=bool)
    whole[rows, columns] = filled
    expected = np.zeros((20, 20), dtype=bool)
    expected[2 : 2 + mask.shape[0], 3 : 3 + mask.shape[1]] = mask
    assert (whole == expected).all()


def around(ellipse: Ellipse, spacing: tuple[float, float]) -> list[tuple[float, float]]:
    (a, b), angle = ellipse.semi_axes_mm, math.radians(ellipse.angle_deg)
    turns = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    x = a * np.cos(turns) * math.cos(angle) - b * np.sin(turns) * math.sin(angle)
    y = a * np.cos(turns) * math.sin(angle) + b * np.sin(turns) * math.cos(angle)
    return [
        (ellipse.center[0] + dy / spacing[0], ellipse.center[1] + dx / spacing[1]) for dx, dy in zip(x, y, strict=True)
    ]


@given(
    st.floats(25, 35), st.floats(25, 35), st.floats(6, 12), st.floats(0.5, 0.9), st.floats(-89, 89), st.floats(0.5, 1)
)
def test_the_best_ellipse_of_an_ellipse_s_outline_is_that_ellipse(
    row: float, column: float, a: float, ratio: float, angle: float, row_mm: float
) -> None:
    spacing = (row_mm, 0.7)
    true = Ellipse(center=(row, column), semi_axes_mm=(a, a * ratio), angle_deg=angle)
    found = ellipse_of_outline([around(true, spacing)], 70, 70, spacing)
    assert found.center == pytest.approx(true.center, abs=0.25)
    assert found.semi_axes_mm == pytest.approx(
        true.semi_axes_mm, abs=0.7
    )  # half a pixel and more: edge pixels are whole


@given(st.floats(3, 12), st.floats(0.3, 0.95), st.floats(-89, 89), st.floats(0.3, 1.2), st.floats(0.3, 1.2))
def test_axes_in_pixels_give_the_same_pixels_as_the_ellipse_in_mm(
    a: float, ratio: float, angle: float, row_mm: float, column_mm: float
) -> None:
    true = Ellipse(center=(60.3, 59.8), semi_axes_mm=(a, a * ratio), angle_deg=angle)
    turn = math.radians(angle)
    first = a * math.sin(turn) / row_mm, a * math.cos(turn) / column_mm
    second = a * ratio * math.cos(turn) / row_mm, -a * ratio * math.sin(turn) / column_mm
    found = ellipse_of_axes(true.center, first, second, (row_mm, column_mm))
    one, other = (mask_of(ellipse, 121, 121, (row_mm, column_mm))[2].sum() for ellipse in (found, true))
    assert abs(int(one) - int(other)) <= 2


def test_a_ring_in_a_ring_is_a_hole() -> None:
    outer = [(1.5, 1.5), (1.5, 8.5), (8.5, 8.5), (8.5, 1.5)]
    inner = [(3.5, 3.5), (3.5, 6.5), (6.5, 6.5), (6.5, 3.5)]
    assert outline_mask([outer, inner], 10, 10, (1.0, 1.0))[2].sum() == 49 - 9


def test_contours_through_pixel_centres_take_their_edge_pixels_in() -> None:
    ring = [(2.0, 2.0), (2.0, 6.0), (5.0, 6.0), (5.0, 2.0)]
    assert outline_mask(with_edge_pixels([ring]), 10, 10, (1.0, 1.0))[2].sum() == 4 * 5


@pytest.mark.parametrize(
    ("ring", "code"),
    [
        ([(1, 1), (2, 2)], "region-outline"),
        ([(1, 1), (1, 30), (5, 5)], "region-outside"),
        ([(float("nan"), 1), (1, 3), (5, 5)], "region-outside"),
        ([(1.1, 1.1), (1.1, 1.4), (1.4, 1.4)], "region-empty"),
        ([(0, 0)] * 30_000, "region-outline"),
    ],
)
def test_outlines_that_cannot_be_are_refused(ring: list[tuple[float, float]], code: str) -> None:
    with pytest.raises(NotMeasurable) as caught:
        outline_mask([ring], 20, 20, (1.0, 1.0))
    assert caught.value.reason_code == code


def test_an_outline_in_metres_is_refused() -> None:
    ring = [(1.0, 1.0), (1.0, 19.0), (19.0, 19.0)]
    with pytest.raises(NotMeasurable) as caught:
        outline_mask([ring], 20, 20, (10.0, 10.0))
    assert caught.value.reason_code == "region-size"
