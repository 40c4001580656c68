"""The phantom: its truth is true, and its knobs do what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.measurement import CSF_LEVELS
from tests.vbq.simulate.conftest import small
from vbq.imaging.regions import region_of
from vbq.imaging.volume import Slice
from vbq.simulate.acquisition import Scanner, build_scanner
from vbq.simulate.anatomy import build_anatomy, paint_slice
from vbq.simulate.parameters import PhantomParameters, draw_parameters
from vbq.simulate.plane import Plane
from vbq.simulate.stack import mid_sagittal, sagittal_stack
from vbq.simulate.study import PhantomStudy, simulate_study
from vbq.simulate.texture import FLAT
from vbq.simulate.tissue import Tissue, only
from vbq.simulate.truth import pixels_inside, true_regions

ANATOMY = build_anatomy(small())


@pytest.mark.parametrize(("seed", "vbq"), [(1, 1.2), (2, 2.5), (3, 6.0), (4, 9.0)])
def test_the_requested_ratio_is_what_the_true_regions_hold(seed: int, vbq: float) -> None:
    truth = simulate_study(small(seed, vbq)).truth
    assert truth.vbq == pytest.approx(vbq, rel=0.005)
    bodies = np.mean([truth.body_means[level] for level in truth.regions.used])
    assert bodies / np.mean([truth.csf_means[level] for level in CSF_LEVELS]) == pytest.approx(truth.vbq)


def test_the_measurement_of_the_pipeline_finds_the_same_means(phantom: PhantomStudy) -> None:
    series, truth = phantom.series[0], phantom.truth
    plane = series.planes[truth.slice_index]
    image = Slice(
        sop_instance_uid="1.2",
        pixels=series.images[truth.slice_index].astype(np.float32),
        position_mm=plane.origin_mm,
        orientation=(*plane.row_direction, *plane.column_direction),
        pixel_spacing_mm=plane.spacing_mm,
    )
    for level, ellipse in truth.regions.bodies.items():
        assert region_of(ellipse, image).mean == pytest.approx(truth.body_means[level], rel=1e-6)
    for level, ellipse in truth.regions.csf.items():
        assert region_of(ellipse, image).mean == pytest.approx(truth.csf_means[level], rel=1e-6)


def test_the_same_parameters_give_the_same_pixels(phantom: PhantomStudy) -> None:
    again = simulate_study(small())
    assert again.truth == phantom.truth
    for one, other in zip(phantom.series[0].images, again.series[0].images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_is_another_woman() -> None:
    assert build_anatomy(small(8)).spine != ANATOMY.spine


@pytest.mark.parametrize("seed", range(5))
def test_true_regions_are_pure_at_the_usual_resolution(seed: int) -> None:
    parameters = draw_parameters(seed, 4.1)
    anatomy = build_anatomy(parameters)
    planes = sagittal_stack(parameters, (512, 512), parameters.pixel_mm)
    plane = planes[mid_sagittal(anatomy.spine, anatomy.profile, planes)]
    csf = paint_slice(anatomy, plane, parameters.slice_mm, only(Tissue.CSF), FLAT)
    marrow = paint_slice(anatomy, plane, parameters.slice_mm, only(Tissue.MARROW), FLAT)
    regions = true_regions(anatomy, plane, csf)
    for oval in regions.csf.values():
        assert csf[pixels_inside(oval, plane)].min() > 0.97
        assert np.pi * oval.semi_axes_mm[0] * oval.semi_axes_mm[1] > 20, "a reader would not draw less than 20 mm2"
    for level in regions.used:
        share = marrow[pixels_inside(regions.bodies[level], plane)] / anatomy.spine.at(level).marrow
        assert share.min() > 0.99


def test_the_slice_of_the_truth_is_the_one_nearest_to_the_midline(phantom: PhantomStudy) -> None:
    anatomy = build_anatomy(phantom.parameters)
    planes = phantom.series[0].planes
    assert phantom.truth.slice_index == mid_sagittal(anatomy.spine, anatomy.profile, planes)
    aside = abs(planes[phantom.truth.slice_index].origin_mm[0] - anatomy.profile.canal_place(8, 30)[0])
    assert aside < phantom.series[0].spacing_mm


@settings(deadline=None)
@given(st.floats(-12, 12))
def test_a_stack_beside_the_midline_has_its_middle_elsewhere(off_centre_mm: float) -> None:
    parameters = small(slices=11, off_centre_mm=off_centre_mm, tilt_deg=0.0)
    planes = sagittal_stack(parameters, (288, 288), parameters.pixel_mm)
    chosen = planes[mid_sagittal(ANATOMY.spine, ANATOMY.profile, planes)]
    spacing = parameters.slice_mm + parameters.gap_mm
    assert abs(chosen.origin_mm[0] - ANATOMY.profile.canal_place(8, 30)[0]) <= spacing / 2 + 1.5


def test_a_fractured_body_has_no_region_and_its_neighbour_stands_in() -> None:
    study = simulate_study(small(fractures=[{"level": "L1", "loss": 0.4}, {"level": "L4", "shape": "crush"}]))
    regions = study.truth.regions
    assert regions.used == ("T12", "L2", "L3", "L5")
    assert "L1" not in regions.bodies
    assert study.truth.vbq == pytest.approx(4.1, rel=0.005)


def test_a_fracture_lowers_the_body() -> None:
    whole, broken = (
        build_anatomy(small(fractures=fractures)).spine.at("L2")
        for fractures in ([], [{"level": "L2", "loss": 0.4, "shape": "crush"}])
    )
    assert broken.height_mm == pytest.approx(0.6 * whole.height_mm)


def scanner_of(parameters: PhantomParameters) -> tuple[Scanner, Plane]:
    plane = sagittal_stack(parameters, (288, 288), 1.04)[2]
    return build_scanner(parameters, ANATOMY.profile, ANATOMY.trunk, plane, band=True), plane


SCANNER = scanner_of(small())


@settings(max_examples=15, deadline=None)
@given(st.floats(0.001, 0.2), st.integers(0, 1000))
def test_noise_has_the_spread_that_was_asked_for(sigma: float, seed: int) -> None:
    scanner, _ = SCANNER
    for part in scanner.noise(sigma, np.random.default_rng(seed)):
        assert scanner.filtered(part).std() == pytest.approx(sigma, rel=0.02)


def test_the_coil_is_nearer_to_the_back_and_1_behind_l3() -> None:
    near, plane = scanner_of(small(falloff_mm=60, saturation_band=False))
    far, _ = scanner_of(small(falloff_mm=1000, saturation_band=False))
    row, column = (round(value) for value in plane.pixel_of(ANATOMY.profile.canal_place(0.0, 0.0)))
    assert near.gain[row, column] == pytest.approx(1, abs=0.02)
    assert near.gain[row, column + 60] > 1.5
    assert near.gain[row, column - 60] < 0.7
    assert np.ptp(far.gain[100:188, column - 60 : column + 60]) < 0.1


def test_giving_one_knob_leaves_the_others_as_they_were() -> None:
    drawn, given = draw_parameters(11, 4.0), draw_parameters(11, 4.0, noise=0.2)
    assert given == drawn.but(noise=0.2)


def test_a_knob_out_of_its_range_is_refused() -> None:
    with pytest.raises(ValidationError):
        draw_parameters(1, 4.0, canal_mm=300)


def test_a_field_of_view_without_the_lumbar_spine_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="larger field of view"):
        simulate_study(small(rows=128, columns=128, pixel_mm=0.3))


def test_distractors_show_bright_csf_and_axial_slices(whole: PhantomStudy) -> None:
    t1, t2, axial = whole.series
    assert [series.sequence.orientation for series in whole.series] == ["sagittal", "sagittal", "axial"]
    plane, index = t2.planes[whole.truth.slice_index], whole.truth.slice_index
    scale = t1.planes[0].spacing_mm[0] / plane.spacing_mm[0]
    body, csf = whole.truth.regions.bodies["L3"], whole.truth.regions.csf["L3"]

    def at(center: tuple[float, float]) -> float:
        row, column = (round(value * scale) for value in center)
        return float(t2.images[index][row - 1 : row + 2, column - 1 : column + 2].mean())

    assert at(csf.center) > 1.5 * at(body.center)
    assert all(image.std() > 0 for image in axial.images)


def test_images_use_twelve_bits_without_saturation(whole: PhantomStudy) -> None:
    for series in whole.series:
        assert max(int(image.max()) for image in series.images) < 4095


def test_everything_is_computed_in_single_precision(phantom: PhantomStudy) -> None:
    anatomy = build_anatomy(phantom.parameters)
    image = paint_slice(anatomy, phantom.series[0].planes[0], 4.0, only(Tissue.CSF), FLAT)
    assert image.dtype == np.float32
    for name in ("rear_wall", "slope", "canal_depth", "arch_depth"):
        assert getattr(anatomy.profile, name).dtype == np.float32
