"""Ellipses on pixels: which pixels they hold, and what happens where they do not fit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse
from vbq.imaging.regions import mask_of, overlap, region_of
from vbq.imaging.volume import Slice

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def image(pixels: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> Slice:
    return Slice("2.25.1", pixels.astype(np.float32), (0.0, 0.0, 0.0), SAGITTAL, spacing)


def brute_force(ellipse: Ellipse, shape: tuple[int, int], spacing: tuple[float, float]) -> np.ndarray:
    """Every pixel of the whole image, tested one by one in polar form."""
    inside = np.zeros(shape, bool)
    a, b = ellipse.semi_axes_mm
    for row in range(shape[0]):
        for column in range(shape[1]):
            y, x = (row - ellipse.center[0]) * spacing[0], (column - ellipse.center[1]) * spacing[1]
            turn = math.atan2(y, x) - math.radians(ellipse.angle_deg)
            edge = a * b / math.hypot(b * math.cos(turn), a * math.sin(turn))
            inside[row, column] = math.hypot(x, y) <= edge * (1 + 1e-12)
    return inside


@settings(max_examples=40, deadline=None)
@given(
    center=st.tuples(st.floats(12, 27), st.floats(12, 27)),
    axes=st.tuples(st.floats(1, 8), st.floats(1, 8)),
    angle=st.floats(-360, 360),
    spacing=st.sampled_from([(1.0, 1.0), (0.7, 0.7), (1.2, 0.8)]),
)
def test_the_bounding_box_finds_the_same_pixels_as_testing_every_pixel(
    center: tuple[float, float], axes: tuple[float, float], angle: float, spacing: tuple[float, float]
) -> None:
    ellipse = Ellipse(center=center, semi_axes_mm=axes, angle_deg=angle)
    full = np.zeros((40, 40), bool)
    rows, columns, mask = mask_of(ellipse, 40, 40, spacing)
    full[rows, columns] = mask
    difference = np.argwhere(full != brute_force(ellipse, (40, 40), spacing))
    for row, column in difference:  # only a pixel centre that lies on the edge itself may be counted either way
        y, x = (row - center[0]) * spacing[0], (column - center[1]) * spacing[1]
        turn = math.atan2(y, x) - math.radians(angle)
        edge = axes[0] * axes[1] / math.hypot(axes[1] * math.cos(turn), axes[0] * math.sin(turn))
        assert math.hypot(x, y) == pytest.approx(edge, rel=1e-9)


def test_mean_sd_and_area_are_those_of_the_pixels_whose_centres_lie_inside() -> None:
    pixels = np.arange(400.0).reshape(20, 20)
    region = region_of(Ellipse(center=(10, 10), semi_axes_mm=(1, 1)), image(pixels, (1.0, 1.0)))
    inside = [pixels[10, 10], pixels[9, 10], pixels[11, 10], pixels[10, 9], pixels[10, 11]]
    assert region.pixels == 5
    assert region.mean == pytest.approx(np.mean(inside))
    assert region.sd == pytest.approx(np.std(inside, ddof=1))
    assert region_of(
        Ellipse(center=(10, 10), semi_axes_mm=(1, 1)), image(pixels, (0.5, 0.25))
    ).area_mm2 == pytest.approx(np.pi, abs=0.4)


def test_the_first_semi_axis_turns_clockwise_as_displayed() -> None:
    pixels = np.zeros((40, 40))
    pixels[26:30, 26:30] = 1.0  # towards larger rows and larger columns: lower right on the screen
    towards = region_of(Ellipse(center=(20, 20), semi_axes_mm=(14, 2), angle_deg=45), image(pixels))
    away = region_of(Ellipse(center=(20, 20), semi_axes_mm=(14, 2), angle_deg=-45), image(pixels))
    assert towards.mean > 0
    assert away.mean == 0


@pytest.mark.parametrize(
    ("ellipse", "code"),
    [
        (Ellipse(center=(2, 20), semi_axes_mm=(5, 5)), "region-outside"),
        (Ellipse(center=(20, 38), semi_axes_mm=(5, 2)), "region-outside"),
        (Ellipse(center=(1e300, 20), semi_axes_mm=(5, 5)), "region-outside"),
        (Ellipse(center=(-50, -50), semi_axes_mm=(5, 5)), "region-outside"),
        (Ellipse(center=(20, 20), semi_axes_mm=(500, 500)), "region-size"),
        (Ellipse(center=(20, 20), semi_axes_mm=(0, 5)), "region-size"),
        (Ellipse(center=(20, 20), semi_axes_mm=(-5, 5)), "region-size"),
        (Ellipse(center=(20, 20), semi_axes_mm=(1e-300, 5)), "region-size"),
        (Ellipse(center=(20.5, 20.5), semi_axes_mm=(0.2, 0.2)), "region-empty"),
    ],
)
def test_an_ellipse_that_does_not_fit_is_refused_with_words(ellipse: Ellipse, code: str) -> None:
    with pytest.raises(NotMeasurable) as caught:
        region_of(ellipse, image(np.ones((40, 40))))
    assert caught.value.reason_code == code


def test_overlap_needs_a_shared_pixel() -> None:
    flat = image(np.ones((40, 40)))
    left, right = (Ellipse(center=(20, column), semi_axes_mm=(4, 4)) for column in (12, 21))
    assert not overlap(left, right, flat)
    assert overlap(left, right.but(center=(20, 18)), flat)
