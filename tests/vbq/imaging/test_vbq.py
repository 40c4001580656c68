"""The score itself: arithmetic, stand-ins, interval, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import NotMeasurable
from schemas.measurement import Ellipse, Level, Region
from vbq.imaging.vbq import Score, score

OVAL = Ellipse(center=(10, 10), semi_axes_mm=(5, 5))
signal = st.floats(1.0, 5000.0)


def region(mean: float, sd: float = 0.0, pixels: int = 100) -> Region:
    return Region(mean=mean, sd=sd, area_mm2=50.0, pixels=pixels, ellipse=OVAL, sop_instance_uid="2.25.1")


def scored(bodies: dict[Level, float], fluid: dict[Level, float], sd: float = 0.0) -> Score:
    levels, csf = ({level: region(mean, sd) for level, mean in part.items()} for part in (bodies, fluid))
    values = {("body", level): np.full(9, mean) for level, mean in bodies.items()}
    values |= {("csf", level): np.full(9, mean) for level, mean in fluid.items()}
    return score(levels, csf, values)


def test_vbq_is_the_mean_of_four_bodies_over_the_mean_of_three_csf_regions() -> None:
    result = scored({"L1": 300, "L2": 320, "L3": 340, "L4": 360}, {"L1": 90, "L2": 100, "L3": 110})
    assert result.vbq == pytest.approx(330 / 100)
    assert result.variants["median"] == pytest.approx(3.3)
    assert result.flags == []


@given(
    bodies=st.lists(signal, min_size=4, max_size=4),
    fluid=st.lists(signal, min_size=3, max_size=3),
    k=st.floats(0.01, 100),
)
def test_scaling_the_signal_leaves_vbq_and_its_interval_unchanged(
    bodies: list[float], fluid: list[float], k: float
) -> None:
    names: tuple[Level, ...] = ("L1", "L2", "L3", "L4")
    plain = scored(dict(zip(names, bodies, strict=True)), dict(zip(names[:3], fluid, strict=True)))
    scaled = scored(
        {level: k * mean for level, mean in zip(names, bodies, strict=True)},
        {level: k * mean for level, mean in zip(names[:3], fluid, strict=True)},
    )
    assert scaled.vbq == pytest.approx(plain.vbq)
    assert scaled.interval == pytest.approx(plain.interval)
    assert plain.interval[0] <= plain.vbq * (1 + 1e-12)
    assert plain.vbq <= plain.interval[1] * (1 + 1e-12)


def test_the_interval_widens_with_noise_and_with_disagreement_of_the_csf_levels() -> None:
    bodies: dict[Level, float] = {"L1": 300, "L2": 300, "L3": 300, "L4": 300}
    agreed = scored(bodies, {"L1": 100, "L2": 100, "L3": 100}, sd=10)
    noisy = scored(bodies, {"L1": 100, "L2": 100, "L3": 100}, sd=40)
    split = scored(bodies, {"L1": 80, "L2": 100, "L3": 120}, sd=10)
    widths = [high - low for low, high in (agreed.interval, noisy.interval, split.interval)]
    assert 0 < widths[0] < widths[1]
    assert widths[0] < widths[2]


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty_on_pure_noise() -> None:
    random = np.random.default_rng(5)
    names: tuple[Level, ...] = ("L1", "L2", "L3", "L4")
    covered = 0
    for _ in range(400):
        values = {("body", name): random.normal(300, 60, 50) for name in names}
        values |= {("csf", name): random.normal(100, 20, 50) for name in names[:3]}
        regions = {
            key: Region(
                mean=float(one.mean()),
                sd=float(one.std(ddof=1)),
                pixels=200,  # each independent value stands for four interpolated pixels
                area_mm2=50.0,
                ellipse=OVAL,
                sop_instance_uid="2.25.1",
            )
            for key, one in values.items()
        }
        bodies = {level: one for (kind, level), one in regions.items() if kind == "body"}
        fluid = {level: one for (kind, level), one in regions.items() if kind == "csf"}
        low, high = score(bodies, fluid, values).interval
        covered += low <= 3.0 <= high
    assert 0.92 <= covered / 400 <= 0.995


@pytest.mark.parametrize(
    ("drawn", "used", "replaced"),
    [
        (("T12", "L2", "L3", "L4"), ("T12", "L2", "L3", "L4"), "T12 stands in for L1"),
        (("L1", "L2", "L3", "L5"), ("L1", "L2", "L3", "L5"), "L5 stands in for L4"),
        (("T12", "L1", "L2", "L3", "L5"), ("L1", "L2", "L3", "L5"), "L5 stands in for L4"),
        (("T12", "L1", "L3", "L4", "L5"), ("T12", "L1", "L3", "L4"), "T12 stands in for L2"),
    ],
)
def test_the_adjacent_body_stands_in_for_one_that_cannot_be_measured(
    drawn: tuple[Level, ...], used: tuple[Level, ...], replaced: str
) -> None:
    result = scored(dict.fromkeys(drawn, 300.0), {"L1": 100, "L2": 100, "L3": 100})
    assert tuple(level for level, one in result.levels.items() if one.used) == used
    assert [flag.text for flag in result.flags] == [replaced]
    assert all(one.reason for one in result.levels.values() if not one.used)


def test_a_fifth_body_does_not_count_where_none_is_missing() -> None:
    result = scored({"T12": 900, "L1": 300, "L2": 300, "L3": 300, "L4": 300, "L5": 900}, {"L1": 100, "L4": 5})
    assert result.vbq == pytest.approx(3.0)
    assert not result.levels["L5"].used
    assert not result.csf["L4"].used
    assert {flag.code for flag in result.flags} == {"csf-levels-missing"}


@pytest.mark.parametrize(
    ("bodies", "fluid", "code"),
    [
        ({"L1": 300.0, "L2": 300.0}, {"L1": 100.0}, "too-few-bodies"),
        ({"L1": 300.0, "L2": 300.0, "L3": 300.0}, {}, "csf-missing"),
        ({"L1": 300.0, "L2": 300.0, "L3": 300.0}, {"L4": 100.0}, "csf-missing"),
        ({"L1": 300.0, "L2": 300.0, "L3": 300.0}, {"L1": 0.0, "L2": 0.0}, "csf-no-signal"),
        ({"L1": 300.0, "L2": 300.0, "L3": 300.0}, {"L1": -5.0, "L2": 0.0}, "csf-no-signal"),
        ({"L1": 0.0, "L2": 0.0, "L3": 0.0}, {"L1": 10.0}, "bone-no-signal"),
    ],
)
def test_what_cannot_be_divided_is_refused(bodies: dict[Level, float], fluid: dict[Level, float], code: str) -> None:
    with pytest.raises(NotMeasurable) as caught:
        scored(bodies, fluid)
    assert caught.value.reason_code == code
