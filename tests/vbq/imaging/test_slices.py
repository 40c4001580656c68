"""Order, duplicates and the mid-sagittal slice."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from vbq.imaging.slices import mid_sagittal, order_slices
from vbq.imaging.volume import Series

MakeSeries = Callable[..., Series]


def uids(series: Series) -> list[str]:
    return [one.sop_instance_uid for one in order_slices(series).slices]


def test_slices_come_in_order_of_position_whatever_order_the_files_had(make_series: MakeSeries) -> None:
    series = make_series()
    shuffled = list(series.slices)
    random.Random(3).shuffle(shuffled)
    # row direction x column direction points to the patient's right here, so the leftmost slice is index 0
    assert uids(replace(series, slices=tuple(shuffled))) == [f"2.25.1.{number}" for number in range(11, 0, -1)]


@pytest.mark.parametrize("middle", [4, 5, 6, 7])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_slice_about_which_the_stack_mirrors_itself_is_mid_sagittal(
    make_series: MakeSeries, middle: int, seed: int
) -> None:
    slices = order_slices(make_series(count=13, middle=middle, seed=seed)).slices
    found = mid_sagittal(slices)
    assert slices[found.index].sop_instance_uid == f"2.25.1.{middle + 1}"
    assert found.scores[found.index] == max(found.scores)
    assert found.flags == ()


def test_between_two_slices_either_is_taken_and_the_other_is_runner_up(make_series: MakeSeries) -> None:
    slices = order_slices(make_series(count=14, middle=6.5)).slices
    found = mid_sagittal(slices)
    assert found.runner_up is not None
    assert {slices[found.index].instance_number, slices[found.runner_up].instance_number} == {7, 8}


def test_a_brightness_ramp_does_not_move_the_choice(make_series: MakeSeries) -> None:
    series = make_series(count=13, middle=5)
    ramped = [replace(one, pixels=one.pixels * (0.4 + 0.1 * i)) for i, one in enumerate(series.slices)]
    slices = order_slices(replace(series, slices=tuple(ramped))).slices
    assert slices[mid_sagittal(slices).index].instance_number == 6


def test_few_slices_take_the_middle_one_and_say_so(make_series: MakeSeries) -> None:
    found = mid_sagittal(order_slices(make_series(count=3)).slices)
    assert found.index == 1
    assert [flag.code for flag in found.flags] == ["few-slices"]
    assert mid_sagittal(order_slices(make_series(count=1)).slices).runner_up is None


def test_of_two_slices_at_one_place_one_counts_and_a_reader_s_is_the_one(make_series: MakeSeries) -> None:
    series = make_series()
    twin = replace(series.slices[4], sop_instance_uid="2.25.1.twin", instance_number=99)
    doubled = replace(series, slices=(*series.slices, twin))
    plain = order_slices(doubled)
    assert len(plain.slices) == 11
    assert plain.index_of("2.25.1.twin") is None
    assert [flag.code for flag in plain.flags] == ["duplicate-positions"]
    assert order_slices(doubled, keep="2.25.1.twin").index_of("2.25.1.twin") == plain.index_of("2.25.1.5")


def test_slices_of_another_orientation_are_left_out_and_gaps_are_told(make_series: MakeSeries) -> None:
    series = make_series()
    axial = replace(series.slices[0], orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), sop_instance_uid="2.25.8")
    kept = tuple(one for one in series.slices if one.instance_number not in (3, 4))
    ordered = order_slices(replace(series, slices=(*kept, axial)))
    assert len(ordered.slices) == 9
    assert {flag.code for flag in ordered.flags} == {"odd-slices", "missing-slices"}


def test_flat_black_slices_do_not_break_the_choice(make_series: MakeSeries) -> None:
    series = make_series()
    black = tuple(replace(one, pixels=one.pixels * 0) for one in series.slices)
    found = mid_sagittal(order_slices(replace(series, slices=black)).slices)
    assert 0 <= found.index < 11
    assert "slice-uncertain" in [flag.code for flag in found.flags]
