"""A small phantom that is quick to make, shared by the tests that only look at one."""

import pytest

from vbq.simulate.parameters import PhantomParameters, draw_parameters
from vbq.simulate.study import PhantomStudy, simulate_study


def small(seed: int = 7, vbq: float = 4.1, **given: object) -> PhantomParameters:
    """A third of the pixels of a usual phantom, and only a few slices."""
    knobs: dict[str, object] = {"rows": 288, "columns": 288, "pixel_mm": 1.04, "slices": 5, "distractors": False}
    return draw_parameters(seed, vbq, **(knobs | given))


@pytest.fixture(scope="session")
def phantom() -> PhantomStudy:
    return simulate_study(small())


@pytest.fixture(scope="session")
def whole() -> PhantomStudy:
    """With its T2 series, at a quarter of the pixels."""
    return simulate_study(small(rows=256, columns=256, pixel_mm=1.18, distractors=True))
