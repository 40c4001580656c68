"""A study measured from end to end on arrays: statuses, reasons, flags."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from schemas.errors import NotMeasurable
from schemas.measurement import Measurement, Reason, RegionSet
from vbq.imaging.measure import ALGORITHM, measure
from vbq.imaging.volume import Series, SeriesHeader, Study

MakeSeries = Callable[..., Series]
StudyOf = Callable[..., Study]


def run(series: Series, study_of: StudyOf, rois: RegionSet | None, *others: SeriesHeader) -> Measurement:
    return measure(study_of(series.header, *others), lambda _: series, rois)


def codes(rows: list[Reason]) -> set[str]:
    return {row.code for row in rows}


def test_known_signals_give_the_known_vbq(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    result = measure(study_of(make_series().header), lambda _: make_series(), rois, regions_source="regions.json")
    assert result.status == "measured"
    assert result.vbq == pytest.approx(4.0)
    assert result.method == "reader"
    assert result.algorithm == ALGORITHM
    assert result.regions_source == "regions.json"
    assert result.slice is not None
    assert (result.slice.sop_instance_uid, result.slice.index) == ("2.25.1.6", 5)
    assert result.acquisition.repetition_time_ms == 550
    assert result.flags == []
    assert {level: one.mean for level, one in result.csf.items()} == {"L1": 100, "L2": 100, "L3": 100}


def test_without_regions_it_needs_regions_and_names_the_slice(make_series: MakeSeries, study_of: StudyOf) -> None:
    result = run(make_series(), study_of, None)
    assert result.status == "needs_regions"
    assert result.vbq is None
    assert result.slice is not None
    assert result.slice.sop_instance_uid == "2.25.1.6"
    assert codes(result.reasons) == {"no-regions"}


def test_regions_that_name_no_slice_are_measured_on_the_mid_sagittal_one(
    make_series: MakeSeries, study_of: StudyOf, rois: RegionSet
) -> None:
    result = run(make_series(), study_of, rois.but(sop_instance_uid=None))
    assert result.vbq == pytest.approx(4.0)
    assert "slice-assumed" in codes(result.flags)


def test_a_study_without_t1_says_what_spoke_against_each_series(
    make_series: MakeSeries, study_of: StudyOf, header: SeriesHeader
) -> None:
    t2 = replace(header, echo_times_ms=(100.0,))
    result = measure(study_of(t2), lambda _: make_series(), None)
    assert result.status == "not_measurable"
    assert codes(result.reasons) == {"no-suitable-series"}
    assert "too long an echo time" in result.reasons[0].text
    assert result.series[0].chosen is False


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sop_instance_uid": "2.25.404"}, "regions-of-another-study"),
        ({"sop_instance_uid": "2.25.20"}, "regions-on-other-series"),
        ({"sop_instance_uid": "2.25.66"}, "truncated"),
    ],
)
def test_regions_of_a_slice_that_is_not_measured_are_refused(
    make_series: MakeSeries, study_of: StudyOf, rois: RegionSet, header: SeriesHeader, change: dict[str, str], code: str
) -> None:
    series = make_series()
    cut = {"2.25.66": Reason(code="truncated", text="the file has fewer pixels than rows x columns; send it again")}
    series = replace(series, unreadable=cut)
    t2 = replace(header, uid="t2", echo_times_ms=(100.0,), sop_instance_uids=("2.25.20",))
    result = run(series, study_of, rois.but(**change), t2)
    assert result.status == "not_measurable"
    assert codes(result.reasons) == {code}
    assert "unreadable-slices" in codes(result.flags)


def test_a_region_outside_the_image_is_named_with_its_level(
    make_series: MakeSeries, study_of: StudyOf, rois: RegionSet
) -> None:
    moved = rois.levels["L2"].but(center=(500.0, 52.0))
    result = run(make_series(), study_of, rois.but(levels={**rois.levels, "L2": moved}))
    assert result.status == "not_measurable"
    assert codes(result.reasons) == {"region-outside"}
    assert result.reasons[0].text.startswith("L2: ")


def test_csf_without_signal_is_not_measurable(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    series = make_series()
    dark = [replace(one, pixels=np.where(one.pixels == 100, 0, one.pixels)) for one in series.slices]
    result = run(replace(series, slices=tuple(dark)), study_of, rois)
    assert result.status == "not_measurable"
    assert codes(result.reasons) == {"csf-no-signal"}


def test_a_series_that_cannot_be_decoded_is_not_measurable_with_the_reasons(
    make_series: MakeSeries, study_of: StudyOf
) -> None:
    def broken(_: str) -> Series:
        raise NotMeasurable(
            "no slice of the series can be read", [("truncated", "cut short")], code="series-unreadable"
        )

    result = measure(study_of(make_series().header), broken, None)
    assert result.status == "not_measurable"
    assert codes(result.reasons) == {"truncated"}


def flags_after(series: Series, study_of: StudyOf, rois: RegionSet) -> set[str]:
    result = run(series, study_of, rois)
    assert result.status == "measured"
    return codes(result.flags)


def test_disagreeing_csf_levels_are_flagged(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    series = make_series()
    for one in series.slices:
        one.pixels[85:95][one.pixels[85:95] == 100] = 130
    assert "csf-levels-disagree" in flags_after(series, study_of, rois)


def test_csf_as_bright_as_bone_is_flagged(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    series = make_series()
    bright = [replace(one, pixels=np.where(one.pixels == 100, 450, one.pixels)) for one in series.slices]
    found = flags_after(replace(series, slices=tuple(bright)), study_of, rois)
    assert {"csf-not-darker", "vbq-unusual"} <= found


def test_saturated_pixels_are_flagged(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    series = make_series()
    low = tuple(replace(one, ceiling=400.0) for one in series.slices)
    assert "saturated" in flags_after(replace(series, slices=low), study_of, rois)


def test_csf_a_few_steps_above_nothing_is_flagged(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    def noisy(step: float) -> Series:
        series = make_series()
        rng = np.random.default_rng(1)
        slices = [
            replace(
                one, pixels=(np.round((one.pixels + rng.normal(0, 9, one.pixels.shape)) / step) * step).astype("f4")
            )
            for one in series.slices
        ]
        return replace(series, slices=tuple(slices))

    assert "coarse-grey-levels" not in flags_after(noisy(2.0), study_of, rois)
    assert "coarse-grey-levels" in flags_after(noisy(6.0), study_of, rois)


def test_small_overlapping_and_misplaced_regions_are_flagged(
    make_series: MakeSeries, study_of: StudyOf, rois: RegionSet
) -> None:
    small = rois.csf["L1"].but(semi_axes_mm=(2.5, 2.0))
    assert "small-region" in flags_after(make_series(), study_of, rois.but(csf={**rois.csf, "L1": small}))
    swapped = {**rois.levels, "L1": rois.levels["L2"], "L2": rois.levels["L1"]}
    assert "levels-out-of-order" in flags_after(make_series(), study_of, rois.but(levels=swapped))
    twice = {**rois.levels, "L2": rois.levels["L1"].but(center=(45.0, 52.0))}
    assert "regions-overlap" in flags_after(make_series(), study_of, rois.but(levels=twice))
    in_front = {**rois.csf, "L1": rois.csf["L1"].but(center=(40.0, 25.0))}
    assert "csf-not-posterior" in flags_after(make_series(), study_of, rois.but(csf=in_front))


def test_a_slice_far_off_the_midline_is_flagged(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    series = make_series()
    for one in series.slices:  # two slices off the middle there is no CSF; give it some, so that only the place is odd
        one.pixels[:, 68:78] = 100
    far = rois.but(sop_instance_uid="2.25.1.8")
    assert "slice-off-midline" in flags_after(series, study_of, far)
    near = rois.but(sop_instance_uid="2.25.1.7")
    assert "slice-off-midline" not in flags_after(series, study_of, near)


def test_unknown_acquisition_and_remarks_from_outside_are_kept(
    make_series: MakeSeries, study_of: StudyOf, rois: RegionSet
) -> None:
    series = make_series()
    bare = replace(series.header, manufacturer=None, field_strength_t=None)
    outside = Reason(code="identity-unverified", text="nobody could check")
    result = measure(study_of(bare), lambda _: series, rois, flags=[outside])
    assert {"identity-unverified", "acquisition-unknown"} <= codes(result.flags)
    assert "manufacturer" in next(flag.text for flag in result.flags if flag.code == "acquisition-unknown")


def test_a_measurement_survives_json(make_series: MakeSeries, study_of: StudyOf, rois: RegionSet) -> None:
    result = run(make_series(), study_of, rois)
    document = json.loads(result.model_dump_json())
    assert document["interval"][0] <= document["vbq"] <= document["interval"][1]
    assert Measurement.model_validate_json(result.model_dump_json()) == result
