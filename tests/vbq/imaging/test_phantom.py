"""The choice of slice and the score on the three-dimensional phantom, whose truth is known."""

import numpy as np
import pytest

from schemas.measurement import RegionSet
from vbq.imaging.regions import pixels_of, region_of
from vbq.imaging.slices import mid_sagittal
from vbq.imaging.vbq import score
from vbq.imaging.volume import Slice
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.study import PhantomStudy, simulate_study


def phantom(seed: int, **given: float) -> PhantomStudy:
    parameters = draw_parameters(seed, 3.5, rows=192, columns=192, distractors=False, **given)
    return simulate_study(parameters.but(pixel_mm=parameters.pixel_mm * 512 / 192))


def slices_of(study: PhantomStudy) -> list[Slice]:
    t1 = study.series[0]
    return [
        Slice(
            sop_instance_uid=f"2.25.{index}",
            pixels=np.asarray(image, dtype=np.float32),
            position_mm=plane.origin_mm,
            orientation=(*plane.row_direction, *plane.column_direction),
            pixel_spacing_mm=plane.spacing_mm,
        )
        for index, (plane, image) in enumerate(zip(t1.planes, t1.images, strict=True))
    ]


@pytest.mark.parametrize(
    ("given", "slack"), [({}, 0), ({"off_centre_mm": 10.0}, 0), ({"tilt_deg": 8.0}, 1), ({"scoliosis_mm": 8.0}, 1)]
)
@pytest.mark.parametrize("seed", [201, 202])
def test_the_mid_sagittal_slice_of_a_phantom_is_found(seed: int, given: dict[str, float], slack: int) -> None:
    study = phantom(seed, **given)
    assert abs(mid_sagittal(slices_of(study)).index - study.truth.slice_index) <= slack


def test_the_true_regions_hold_the_true_vbq() -> None:
    study = phantom(203)
    truth, image = study.truth, slices_of(study)[study.truth.slice_index]
    rois = RegionSet(levels=dict(truth.regions.bodies), csf=dict(truth.regions.csf))
    values = {("body", level): pixels_of(one, image) for level, one in rois.levels.items()}
    values |= {("csf", level): pixels_of(one, image) for level, one in rois.csf.items()}
    bodies = {level: region_of(one, image) for level, one in rois.levels.items()}
    result = score(bodies, {level: region_of(one, image) for level, one in rois.csf.items()}, values)
    assert result.vbq == pytest.approx(truth.vbq, rel=1e-6)
    assert result.interval[0] < 3.5 < result.interval[1]
