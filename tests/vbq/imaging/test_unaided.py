"""The automatic measurement on a phantom and on what may be done to it: never a silent guess."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from schemas.measurement import Level, Measurement, RegionSet
from vbq.imaging.automatic import find_regions, leave_out_bright_fluid
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.imaging.spine import find_spine
from vbq.imaging.volume import Orientation, Pixels, Series, SeriesHeader, Slice, Study
from vbq.simulate.parameters import Fracture, draw_parameters
from vbq.simulate.study import PhantomStudy, simulate_study

SMALL = {"rows": 320, "columns": 320, "pixel_mm": 1.0, "slices": 11, "distractors": False, "noise": 0.02}
Change = Callable[[Pixels], Pixels]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network()


@pytest.fixture(scope="module")
def phantom() -> PhantomStudy:
    return simulate_study(draw_parameters(3, 3.6, listhesis_mm=0.0, modic=False, haemangioma=False, **SMALL))


def series_of(phantom: PhantomStudy, header: SeriesHeader, change: Change = lambda pixels: pixels) -> Series:
    """The phantom's first series as slices, each changed by `change`."""
    series = phantom.series[0]
    plane = series.planes[0]
    orientation: Orientation = (*plane.row_direction, *plane.column_direction)
    slices = tuple(
        Slice(
            f"2.25.1.{k + 1}",
            change(image.astype(np.float32)),
            plane.origin_mm,
            orientation,
            plane.spacing_mm,
            k + 1,
            4095.0,
        )
        for k, (image, plane) in enumerate(zip(series.images, series.planes, strict=True))
    )
    rows, columns = slices[0].pixels.shape
    uids = tuple(one.sop_instance_uid for one in slices)
    told = replace(header, orientations=(orientation,), slices=len(slices), rows=rows, columns=columns)
    return Series(replace(told, pixel_spacing_mm=plane.spacing_mm, sop_instance_uids=uids), slices)


def unaided(series: Series, network: Network, *, levels_only: bool = False) -> Measurement:
    study = Study("2.25.9", None, (series.header,))
    return measure(study, lambda _: series, None, network=network, levels_only=levels_only)


def codes(result: Measurement) -> set[str]:
    return {reason.code for reason in result.reasons}


def test_a_phantom_is_measured_without_a_reader(phantom: PhantomStudy, header: SeriesHeader, network: Network) -> None:
    result = unaided(series_of(phantom, header), network)
    assert result.status == "measured"
    assert result.method == "automatic"
    assert result.vbq == pytest.approx(phantom.truth.vbq, rel=0.1)
    assert result.interval is not None
    assert result.interval[0] < phantom.truth.vbq < result.interval[1]
    assert result.slice is not None
    assert abs(result.slice.index - phantom.truth.slice_index) <= 1
    assert result.runner_up is not None
    assert result.numbering is not None
    assert result.numbering.sacrum_in_view


def test_the_score_is_the_ratio_of_the_regions_that_are_shown(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    result = unaided(series_of(phantom, header), network)
    bodies = [region.mean for region in result.levels.values() if region.used]
    assert result.vbq == pytest.approx(np.mean(bodies) / np.mean([region.mean for region in result.csf.values()]))


def test_every_level_lies_at_its_true_place(phantom: PhantomStudy, header: SeriesHeader, network: Network) -> None:
    result = unaided(series_of(phantom, header), network)
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(result.levels)
    for level, region in result.levels.items():
        true = phantom.truth.regions.bodies[level].center
        assert np.hypot(*np.subtract(region.ellipse.center, true)) < 6, level


def test_mirrored_and_turned_images_give_the_same_score(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    straight = series_of(phantom, header)
    plain = unaided(straight, network)
    turned = []
    for one in straight.slices:
        x, y, z = one.position_mm
        far = y + (one.pixels.shape[1] - 1) * one.pixel_spacing_mm[1] * one.orientation[1]
        low = z - (one.pixels.shape[0] - 1) * one.pixel_spacing_mm[0]
        across = x + (one.pixels.shape[1] - 1) * one.pixel_spacing_mm[1] * one.orientation[0]
        back_first: Orientation = (0.0, 0.0, 1.0, -one.orientation[0], -one.orientation[1], 0.0)
        pixels = np.ascontiguousarray(one.pixels[::-1, ::-1].T)
        turned.append(replace(one, pixels=pixels, position_mm=(across, far, low), orientation=back_first))
    told = replace(straight.header, orientations=(turned[0].orientation,))
    result = unaided(Series(told, tuple(turned)), network)
    assert result.vbq == pytest.approx(plain.vbq, rel=1e-3)
    here, there = plain.levels["L3"].ellipse.center, result.levels["L3"].ellipse.center
    rows, columns = straight.slices[0].pixels.shape
    assert there == pytest.approx((columns - 1 - here[1], rows - 1 - here[0]), abs=0.01)


@pytest.mark.parametrize(("lowest", "below_mm"), [("L5", 8), ("L5", -4), ("L4", 4)])
def test_a_view_that_cuts_off_the_sacrum_is_never_counted_in_silence(
    phantom: PhantomStudy, header: SeriesHeader, network: Network, lowest: Level, below_mm: int
) -> None:
    last = int(phantom.truth.regions.bodies[lowest].center[0] + below_mm)
    result = unaided(series_of(phantom, header, lambda pixels: pixels[:last]), network)
    assert result.status != "measured"
    if result.vbq is not None:
        assert codes(result) & {"sacrum-not-in-view", "transitional", "numbering-unsure"}


def test_noise_is_not_taken_for_a_spine(phantom: PhantomStudy, header: SeriesHeader, network: Network) -> None:
    rng = np.random.default_rng(4)

    def scramble(pixels: Pixels) -> Pixels:
        return rng.permutation(pixels.ravel()).reshape(pixels.shape)

    result = unaided(series_of(phantom, header, scramble), network)
    assert result.status == "not_measurable"
    assert result.vbq is None
    assert codes(result) <= {"no-lumbar-spine", "low-confidence"}


def test_four_slices_are_too_few(phantom: PhantomStudy, header: SeriesHeader, network: Network) -> None:
    whole = series_of(phantom, header)
    middle = phantom.truth.slice_index
    result = unaided(Series(whole.header, whole.slices[middle - 2 : middle + 2]), network)
    assert result.status == "not_measurable"
    assert codes(result) == {"too-few-slices"}


def test_levels_can_be_named_on_a_single_slice_which_is_said(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    whole = series_of(phantom, header)
    middle = phantom.truth.slice_index
    result = unaided(Series(whole.header, whole.slices[middle : middle + 1]), network, levels_only=True)
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(result.levels)
    assert result.vbq is None
    assert "few-slices" in {flag.code for flag in result.flags}


def test_slices_that_lie_too_close_are_not_all_looked_at(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    middle = series_of(phantom, header).slices[phantom.truth.slice_index]
    x, y, z = middle.position_mm
    close = [replace(middle, sop_instance_uid=f"2.25.1.{k}", position_mm=(x + 0.2 * k, y, z)) for k in range(60)]
    spine = find_spine(close, 30, network)
    assert len(spine.predictions) == 15
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(spine.levels)


def test_an_oval_as_bright_as_bone_is_no_csf_where_others_are_dark(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    found = find_regions(series_of(phantom, header).slices, phantom.truth.slice_index, network)
    bone = found.bodies["L3"].mean
    found.csf["L3"] = found.csf["L3"].but(mean=bone)
    leave_out_bright_fluid(found)
    assert set(found.csf) == {"L1", "L2"}
    assert ("csf", "L3") not in found.values
    assert "csf-not-dark" in {flag.code for flag in found.flags}
    for level in ("L1", "L2"):
        found.csf[level] = found.csf[level].but(mean=bone)
    leave_out_bright_fluid(found)
    assert set(found.csf) == {"L1", "L2"}  # all of them: the contrast is not T1's, which the gate says


def test_a_signal_cut_off_at_the_top_is_refused(phantom: PhantomStudy, header: SeriesHeader, network: Network) -> None:
    level = float(np.median(list(phantom.truth.body_means.values())))
    series = series_of(phantom, header, lambda pixels: np.minimum(pixels, np.float32(level)))
    cut = tuple(replace(one, ceiling=level) for one in series.slices)
    result = unaided(Series(series.header, cut), network)
    assert result.status == "not_measurable"
    assert "saturated" in codes(result)


def test_a_body_with_a_void_does_not_count_and_its_neighbour_stands_in(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    row, column = (round(at) for at in phantom.truth.regions.bodies["L2"].center)

    def screw(pixels: Pixels) -> Pixels:
        spoilt = pixels.copy()
        spoilt[row - 2 : row + 2, column - 9 : column + 9] *= 0.05
        return spoilt

    result = unaided(series_of(phantom, header, screw), network)
    assert not result.levels["L2"].used
    assert "hardly any signal" in (result.levels["L2"].reason or "")
    assert {"level-outlying", "level-replaced"} <= {flag.code for flag in result.flags}


def test_a_fracture_is_suspected_and_its_level_does_not_count(header: SeriesHeader, network: Network) -> None:
    broken = [Fracture(level="L3", loss=0.4, shape="wedge")]
    still: dict[str, object] = {"listhesis_mm": 0.0, "modic": False, "haemangioma": False, "fractures": broken}
    phantom = simulate_study(draw_parameters(4, 3.2, **SMALL, **still))
    result = unaided(series_of(phantom, header), network)
    assert result.shapes["L3"].suspected_genant_grade >= 2
    assert not result.levels["L3"].used
    assert [level for level, shape in result.shapes.items() if shape.suspected_genant_grade] == ["L3"]
    assert result.vbq == pytest.approx(phantom.truth.vbq, rel=0.1)


def test_levels_alone_are_found_on_a_series_that_gives_no_score(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    t2 = replace(header, repetition_times_ms=(3500.0,), echo_times_ms=(100.0,), description="T2 sag")
    series = series_of(phantom, t2)
    assert unaided(series, network).status == "not_measurable"
    result = unaided(series, network, levels_only=True)
    assert result.status == "measured"
    assert result.vbq is None
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(result.levels)
    assert result.csf == {}


def test_a_reader_s_regions_win_and_the_automatic_ones_are_kept_beside(
    phantom: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    series, truth = series_of(phantom, header), phantom.truth
    drawn = RegionSet(
        sop_instance_uid=series.slices[truth.slice_index].sop_instance_uid,
        levels={level: truth.regions.bodies[level] for level in truth.regions.used},
        csf=truth.regions.csf,
    )
    study = Study("2.25.9", None, (series.header,))
    alone = measure(study, lambda _: series, drawn)
    both = measure(study, lambda _: series, drawn, network=network)
    assert both.method == "reader"
    assert both.vbq == alone.vbq
    assert both.automatic is not None
    assert both.automatic.vbq is not None
    assert both.automatic.difference == pytest.approx(both.automatic.vbq / (alone.vbq or 0) - 1)
