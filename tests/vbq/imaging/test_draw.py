"""The picture of a measured slice."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from schemas.measurement import Reason, RegionSet
from vbq.imaging.draw import BODY, FLUID, INK, MOST_REMARKS, _towards, draw
from vbq.imaging.measure import measure
from vbq.imaging.volume import Series, Study


def picture(series: Series, study: Study, rois: RegionSet | None) -> np.ndarray:
    result = measure(study, lambda _: series, rois)
    png = draw(result, series.slices[5])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def near(shown: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(shown.astype(int) - colour).max(axis=2) < 12).sum())


@pytest.fixture
def drawn(make_series: Callable[..., Series], study_of: Callable[..., Study], rois: RegionSet) -> np.ndarray:
    series = make_series()
    return picture(series, study_of(series.header), rois)


def test_bodies_and_csf_are_outlined_in_their_colours(drawn: np.ndarray) -> None:
    assert near(drawn, BODY) > 500
    assert near(drawn, FLUID) > 300


def test_the_picture_is_large_enough_to_read_and_not_larger_than_a_screen(drawn: np.ndarray) -> None:
    height, width, _ = drawn.shape
    assert 512 <= width <= 1100
    assert 512 <= height <= 1300


def test_without_regions_the_whole_slice_is_shown_without_outlines(
    make_series: Callable[..., Series], study_of: Callable[..., Study]
) -> None:
    series = make_series()
    shown = picture(series, study_of(series.header), None)
    assert near(shown, FLUID) == 0


def test_an_outline_lies_where_the_region_does(
    make_series: Callable[..., Series], study_of: Callable[..., Study], rois: RegionSet
) -> None:
    """The signal inside the drawn L1 outline is bone's: bright on this made-up slice."""
    series = make_series()
    for one in series.slices:
        one.pixels[:] = 50
        one.pixels[31:49, 40:65] = 400
    shown = picture(series, study_of(series.header), rois)
    bright = np.argwhere((shown.min(axis=2) > 200) & (np.arange(shown.shape[0])[:, None] < 1000))
    outline = np.argwhere(np.abs(shown.astype(int) - BODY).max(axis=2) < 12)
    first = outline[outline[:, 0] < outline[:, 0].min() + 120]
    assert bright[:, 0].min() < first[:, 0].min()
    assert bright[:, 1].min() < first[:, 1].min() < first[:, 1].max() < bright[:, 1].max()


def test_remarks_that_have_no_room_are_counted(
    make_series: Callable[..., Series], study_of: Callable[..., Study], rois: RegionSet
) -> None:
    series = make_series()
    result = measure(study_of(series.header), lambda _: series, rois)
    many = [Reason(code=f"odd-{n}", text=f"something odd, number {n}") for n in range(40)]
    few = np.asarray(Image.open(io.BytesIO(draw(result.but(flags=many[: MOST_REMARKS + 1]), series.slices[5]))))
    lots = np.asarray(Image.open(io.BytesIO(draw(result.but(flags=many), series.slices[5]))))
    assert few.shape == lots.shape  # as many lines, the last of them another number
    assert (few != lots).any()


def test_a_bar_of_five_centimetres_is_as_long_as_that(
    make_series: Callable[..., Series], study_of: Callable[..., Study], rois: RegionSet
) -> None:
    series = make_series()
    for one in series.slices:
        one.pixels[:] = 60
    shown = picture(series, study_of(series.header), rois)
    white = np.abs(shown.astype(int) - INK).max(axis=2) < 12
    runs = [_longest(row) for row in white[: shown.shape[0] - 60]]
    rows = (rois.levels["L4"].center[0] - rois.levels["L1"].center[0]) * 1.5 + 90  # mm, shown on 1024 pixels
    assert max(runs) == pytest.approx(50 * 1024 / rows, rel=0.06)


def _longest(row: np.ndarray) -> int:
    best = run = 0
    for value in row:
        run = run + 1 if value else 0
        best = max(best, run)
    return best


def test_a_number_that_waits_for_a_person_says_so(
    make_series: Callable[..., Series], study_of: Callable[..., Study], rois: RegionSet
) -> None:
    series = make_series()
    result = measure(study_of(series.header), lambda _: series, rois)
    waiting = result.but(status="needs_confirmation")
    one, other = (np.asarray(Image.open(io.BytesIO(draw(row, series.slices[5])))) for row in (result, waiting))
    assert one.shape == other.shape
    assert (one != other).any(axis=2).any(axis=1).sum() in range(8, 40), "one line of the caption differs"


@pytest.mark.parametrize(
    ("direction", "letter"),
    [((0.0, 1.0, 0.0), "P"), ((0.0, -0.9, 0.3), "A"), ((0.0, 0.1, -1.0), "F"), ((1.0, 0.0, 0.0), "L")],
)
def test_directions_are_named_as_in_dicom(direction: tuple[float, float, float], letter: str) -> None:
    assert _towards(direction) == letter
