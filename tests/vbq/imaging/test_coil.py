"""The coil's falloff from front to back, told from the marrow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.measurement import Ellipse
from vbq.imaging.canonical import SagittalView, sagittal_view
from vbq.imaging.coil import coil_slope, slope_to_the_back
from vbq.imaging.volume import Slice

OVAL = Ellipse(center=(60.0, 60.0), semi_axes_mm=(10.0, 7.0), angle_deg=12.0)


def view_of(per_mm_back: float, per_mm_down: float, *, noise: float = 0.0, spacing: float = 0.7) -> SagittalView:
    rows, columns = np.mgrid[0:120, 0:120] * spacing
    signal = 400 * (1 + per_mm_back * (columns - 42) + per_mm_down * (rows - 42))
    pixels = signal + np.random.default_rng(1).normal(0, noise * 400, signal.shape)
    image = Slice("2.25.1", pixels.astype(np.float32), (0, 0, 0), (0, 1, 0, 0, 0, -1), (spacing, spacing), 1)
    return sagittal_view(image)


@given(back=st.floats(-0.03, 0.03), down=st.floats(-0.01, 0.01))
def test_a_slope_to_the_back_is_told_whatever_the_slope_along_the_spine(back: float, down: float) -> None:
    slope = slope_to_the_back(OVAL, view_of(back, down))
    assert slope == pytest.approx(back, abs=2e-4 + 0.02 * abs(back))


def test_noise_of_a_tenth_moves_the_slope_by_little() -> None:
    slope = slope_to_the_back(OVAL, view_of(0.015, 0.0, noise=0.1))
    assert slope == pytest.approx(0.015, abs=0.004)


def test_an_oval_over_the_edge_or_without_signal_tells_nothing() -> None:
    view = view_of(0.01, 0.0)
    assert slope_to_the_back(OVAL.but(center=(2.0, 60.0)), view) is None
    assert slope_to_the_back(OVAL, view_of(0.0, 0.0, noise=0.0)) == pytest.approx(0.0, abs=1e-6)
    assert slope_to_the_back(OVAL.but(semi_axes_mm=(1.0, 1.0)), view) is None


def test_one_body_with_a_lesion_does_not_make_the_coil_steep() -> None:
    assert coil_slope({"L1": 0.008, "L2": 0.009, "L3": 0.09, "L4": 0.010}) == pytest.approx(0.0095)
    assert coil_slope({"L1": 0.008, "L2": 0.009}) is None
