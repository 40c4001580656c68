"""The interval and the flags of an automatic measurement grow with what makes it uncertain."""

import math

import numpy as np
import pytest

from schemas.measurement import Measurement
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.imaging.volume import Orientation, Series, SeriesHeader, Slice, Study
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.study import PhantomStudy, simulate_study

SMALL = {"rows": 320, "columns": 320, "pixel_mm": 1.0, "slices": 9, "distractors": False, "listhesis_mm": 0.0}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network()


def phantom(**given: float) -> PhantomStudy:
    return simulate_study(draw_parameters(11, 3.4, **SMALL, modic=False, haemangioma=False, **given))


def measured(study: PhantomStudy, network: Network) -> Measurement:
    series = study.series[0]
    plane = series.planes[0]
    orientation: Orientation = (*plane.row_direction, *plane.column_direction)
    slices = tuple(
        Slice(f"2.25.1.{k + 1}", image.astype(np.float32), one.origin_mm, orientation, one.spacing_mm, k + 1, 4095.0)
        for k, (image, one) in enumerate(zip(series.images, series.planes, strict=True))
    )
    header = SeriesHeader(
        uid="2.25.1",
        modality="MR",
        description="T1 SAG",
        repetition_times_ms=(550.0,),
        echo_times_ms=(11.0,),
        scanning_sequence=("SE",),
        image_types=("ORIGINAL", "PRIMARY"),
        orientations=(orientation,),
        slices=len(slices),
        rows=320,
        columns=320,
        pixel_spacing_mm=plane.spacing_mm,
        photometric=("MONOCHROME2",),
        sop_instance_uids=tuple(one.sop_instance_uid for one in slices),
    )
    return measure(Study("2.25.9", None, (header,)), lambda _: Series(header, slices), None, network=network)


def flags(result: Measurement) -> set[str]:
    return {flag.code for flag in result.flags}


def width(result: Measurement) -> float:
    assert result.interval is not None
    return math.log(result.interval[1] / result.interval[0])


@pytest.fixture(scope="module")
def even(network: Network) -> Measurement:
    return measured(phantom(falloff_mm=400.0, noise=0.02), network)


def test_an_even_coil_and_little_noise_give_a_narrow_interval_about_the_truth(even: Measurement) -> None:
    assert even.status == "measured"
    assert even.vbq == pytest.approx(3.4, rel=0.05)
    assert width(even) < 0.15
    assert not flags(even) & {"coil-falloff-steep", "interval-wide"}


def test_a_coil_that_falls_off_steeply_is_flagged_and_widens_the_interval(even: Measurement, network: Network) -> None:
    steep = measured(phantom(falloff_mm=55.0, noise=0.02), network)
    assert "coil-falloff-steep" in flags(steep)
    assert width(steep) > width(even)


def test_much_noise_is_flagged_and_widens_the_interval(even: Measurement, network: Network) -> None:
    noisy = measured(phantom(falloff_mm=400.0, noise=0.16), network)
    assert width(noisy) > 1.5 * width(even)
    assert flags(noisy) & {"interval-wide", "csf-uneven", "slice-range-wide", "csf-levels-disagree"}
