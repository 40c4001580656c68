"""`--regions-only` on what is least like a lumbar study of one's own: few T2 slices, thin or cut bodies, no sacrum."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.measurement import Measurement
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.imaging.volume import Orientation, Series, SeriesHeader, Slice, Study
from vbq.simulate.conditions import Conditions
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.spine import build_spine
from vbq.simulate.study import PhantomStudy, simulate_study

SMALL: dict[str, Any] = {
    "rows": 320,
    "columns": 320,
    "pixel_mm": 0.7,
    "slices": 3,
    "slice_mm": 1.0,
    "gap_mm": 0.0,
    "distractors": False,
    "noise": 0.04,
    "listhesis_mm": 0.0,
    "modic": False,
    "haemangioma": False,
}
UP_MM = 62.0  # of 224 mm: L4 is the lowest whole body, L5 is cut, no sacrum
NEAR_MM = 8.0


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network()


@pytest.fixture(scope="module")
def thin() -> PhantomStudy:
    """Three thin T2 slices 9 mm beside the midline, of a small spine, far up."""
    conditions = Conditions(sequence="t2", view_up_mm=UP_MM)
    return simulate_study(draw_parameters(11, 3.4, off_centre_mm=9.0, size=0.85, conditions=conditions, **SMALL))


def levels_of(study: PhantomStudy, header: SeriesHeader, network: Network, count: int) -> Measurement:
    series = study.series[0]
    plane = series.planes[0]
    orientation: Orientation = (*plane.row_direction, *plane.column_direction)
    slices = tuple(
        Slice(f"2.25.1.{k + 1}", image.astype(np.float32), one.origin_mm, orientation, one.spacing_mm, k + 1, 4095.0)
        for k, (image, one) in enumerate(zip(series.images[:count], series.planes[:count], strict=True))
    )
    told = replace(
        header,
        orientations=(orientation,),
        slices=count,
        rows=320,
        columns=320,
        pixel_spacing_mm=plane.spacing_mm,
        sop_instance_uids=tuple(one.sop_instance_uid for one in slices),
        repetition_times_ms=(3500.0,),
        echo_times_ms=(100.0,),
        description="T2 sag",
    )
    found = Series(told, slices)
    return measure(Study("2.25.9", None, (told,)), lambda _: found, None, network=network, levels_only=True)


@pytest.mark.parametrize("count", [1, 3])
def test_thin_slices_without_a_sacrum_give_bodies_in_order_and_a_count_to_be_confirmed(
    thin: PhantomStudy, header: SeriesHeader, network: Network, count: int
) -> None:
    result = levels_of(thin, header, network, count)
    assert result.status == "needs_confirmation"
    assert {reason.code for reason in result.reasons} & {"sacrum-not-in-view", "transitional", "sacrum-cut-off"}
    assert "few-slices" in {flag.code for flag in result.flags}
    assert result.vbq is None
    assert result.csf == {}
    assert len(result.levels) >= 4
    plane = thin.series[0].planes[0]
    bodies = {body.level: plane.pixel_of(body.centre) for body in build_spine(thin.parameters).vertebrae}
    names = list(bodies)
    met = []
    for region in result.levels.values():
        nearest = min(names, key=lambda name: math.dist(bodies[name], region.ellipse.center))
        assert math.dist(bodies[nearest], region.ellipse.center) * plane.spacing_mm[0] < NEAR_MM
        met.append(names.index(nearest))
    assert met == list(range(met[0], met[0] - len(met), -1))  # each the next one below; which is which is to be asked


def test_no_region_lies_on_a_body_that_the_image_s_edge_cuts(
    thin: PhantomStudy, header: SeriesHeader, network: Network
) -> None:
    result = levels_of(thin, header, network, 3)
    for region in result.levels.values():
        row, column = region.ellipse.center
        reach = max(region.ellipse.semi_axes_mm) / SMALL["pixel_mm"]
        assert reach < row < 320 - reach
        assert reach < column < 320 - reach
