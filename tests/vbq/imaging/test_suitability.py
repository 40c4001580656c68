"""The gate on phantoms with one thing wrong: refused, to be confirmed, or measured by the adjacent body's rule."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from schemas.measurement import Measurement
from tests.vbq.imaging.bodies_by_hand import body
from vbq.imaging.bodies import Body
from vbq.imaging.canonical import SagittalView, sagittal_view
from vbq.imaging.measure import measure
from vbq.imaging.metal_artefact import metal_near
from vbq.imaging.network import Network, load_network
from vbq.imaging.sacrum import depth_profile, sacral_doubts
from vbq.imaging.volume import Slice
from vbq.simulate.conditions import Conditions
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.person import draw_person
from vbq.simulate.study import PhantomStudy, simulate_study

PLAIN: dict[str, Any] = {"listhesis_mm": 0.0, "modic": False, "haemangioma": False, "scoliosis_mm": 0.0}
SMALL: dict[str, Any] = {
    "rows": 288,
    "columns": 288,
    "pixel_mm": 1.06,
    "slices": 5,
    "distractors": False,
    "noise": 0.02,
}
TINY: dict[str, Any] = {**SMALL, "rows": 128, "columns": 128, "pixel_mm": 1.98}
WITHOUT_A_NUMBER = {"not_measurable", "needs_regions"}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network()


def phantom(seed: int = 3, size: dict[str, Any] | None = None, /, **given: Any) -> PhantomStudy:
    own = {name: given.pop(name) for name in tuple(given) if name in Conditions.model_fields}
    knobs = {**(size or SMALL), **PLAIN, "conditions": Conditions(**own), **given}
    return simulate_study(draw_parameters(seed, 3.4, **knobs))


def measured(study: PhantomStudy, network: Network, place: Path) -> Measurement:
    """As a stranger has it measured: from files."""
    write_study(study, draw_person(study.parameters.seed), place)
    files = open_study(place)
    return measure(files.study, files.load_pixels, None, network=network)


def codes(result: Measurement) -> set[str]:
    return {reason.code for reason in result.reasons}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sequence": "t1-gd"}, "contrast agent"),
        ({"sequence": "t2"}, "too long an echo time"),
        ({"sequence": "stir"}, "fat is suppressed"),
        ({"tags": "bare"}, "neither TR and TE nor the description"),
        ({"plane": "axial"}, "not sagittal"),
        ({"plane": "axial", "tags": "lumbar-t1"}, "not sagittal"),
        ({"part": "knee"}, "another part of the body"),
        ({"part": "cervical"}, "another part of the body"),
        ({"part": "thoracic"}, "another part of the body"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_series_that_says_what_it_is_is_refused_for_that(
    given: dict[str, Any], said: str, network: Network, tmp_path: Path
) -> None:
    result = measured(phantom(3, TINY, **given), network, tmp_path)
    assert result.status == "not_measurable"
    assert result.vbq is None
    assert codes(result) == {"no-suitable-series"}
    assert said in result.reasons[0].text


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"sequence": "t2"}, {"not-t1-by-signal"}),
        ({"part": "cervical"}, {"no-lumbar-spine", "low-confidence", "wrong-anatomy"}),
        ({"part": "knee"}, {"no-lumbar-spine", "low-confidence"}),
        ({"gain": 16.0}, {"saturated"}),
        ({"metal": ["L2", "L3", "L4"]}, {"metal"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_pixels_that_contradict_their_tags_give_no_number(
    given: dict[str, Any], allowed: set[str], network: Network, tmp_path: Path
) -> None:
    result = measured(phantom(3, **{"tags": "lumbar-t1", **given}), network, tmp_path)
    assert result.status in WITHOUT_A_NUMBER
    assert result.vbq is None
    assert codes(result) & allowed


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"variant": "lumbarised-s1"}, {"transitional"}),
        ({"variant": "sacralised-l5"}, {"transitional"}),
        ({"variant": "merged-sacrum"}, {"transitional", "sacrum-merged", "sacrum-not-in-view"}),
        ({"listhesis_mm": 7.0}, {"listhesis"}),
        ({"view_up_mm": 70.0}, {"sacrum-not-in-view"}),
        ({"view_up_mm": -92.0}, {"level-not-found"}),
        ({"part": "thoracic", "tags": "lumbar-t1"}, {"wrong-anatomy", "sacrum-not-in-view"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) and value else "",
)
def test_levels_that_may_be_others_are_never_counted_in_silence(
    given: dict[str, Any], allowed: set[str], network: Network, tmp_path: Path
) -> None:
    result = measured(phantom(4, **given), network, tmp_path)
    assert result.status in {"needs_confirmation", "not_measurable"}
    assert codes(result) & allowed


@pytest.mark.parametrize("lordosis", [1.6, 1.9])
def test_a_steep_l5_is_not_taken_for_the_sacrum(lordosis: float, network: Network, tmp_path: Path) -> None:
    study = phantom(4, lordosis=lordosis)
    result = measured(study, network, tmp_path)
    assert result.status == "measured"
    for level in ("L1", "L2", "L3", "L4"):
        true, found = study.truth.regions.bodies[level].center, result.levels[level].ellipse.center
        assert np.hypot(true[0] - found[0], true[1] - found[1]) * study.parameters.pixel_mm < 8.0


@pytest.mark.parametrize("given", [{"schmorl": ["L2"]}, {"haemangioma": ["L2"]}], ids=["schmorl", "haemangioma"])
def test_a_lesion_s_level_does_not_count_and_its_neighbour_stands_in(
    given: dict[str, Any], network: Network, tmp_path: Path
) -> None:
    study = phantom(5, **given)
    result = measured(study, network, tmp_path)
    assert result.status == "measured"
    assert not result.levels["L2"].used
    assert result.levels["L2"].reason
    assert result.levels["T12"].used or result.levels["L5"].used
    assert {"level-outlying", "level-replaced"} <= {flag.code for flag in result.flags}
    assert result.vbq == pytest.approx(study.truth.vbq, rel=0.06)


def test_without_a_number_it_still_says_which_way_was_tried(network: Network, tmp_path: Path) -> None:
    result = measured(phantom(3, TINY, slices=3), network, tmp_path)
    assert codes(result) == {"too-few-slices"}
    assert result.algorithm.startswith("vbq-automatic")
    assert result.method == "automatic"


BODY = body(0.0, x=0.0, depth=32.0, height=22.0)


def column(spots: list[tuple[float, float, float]]) -> tuple[list[Body], SagittalView]:
    """Five bodies of signal 100 with square spots: (row in mm, half side in mm, signal)."""
    pixels = np.full((200, 100), 100.0, dtype=np.float32)
    for row, half, signal in spots:
        pixels[round(row - half) : round(row + half), round(50 - 1.1 * half) : round(50 + 1.1 * half)] = signal
    image = Slice("2.25.1", pixels, (0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (1.0, 1.0))
    bodies = [replace(BODY, centre=(25.0 + 35 * k, 50.0)) for k in range(5)]
    return bodies, sagittal_view(image)


def test_a_void_with_a_bright_rim_is_metal_and_one_without_is_not() -> None:
    bodies, view = column([(95.0, 6.0, 2.0), (86.0, 3.0, 280.0)])
    assert metal_near(bodies, view, 100.0) == [2]
    bodies, view = column([(95.0, 8.0, 2.0)])
    assert metal_near(bodies, view, 100.0) == [2], "a large void"
    bodies, view = column([(95.0, 5.0, 2.0), (87.0, 3.0, 280.0)])
    assert metal_near(bodies, view, 100.0) == [2]
    bodies, view = column([(95.0, 4.0, 2.0)])
    assert metal_near(bodies, view, 100.0) == [], "a small dark spot, as of sclerosis"
    bodies, view = column([(95.0, 1.5, 2.0), (92.0, 2.0, 280.0)])
    assert metal_near(bodies, view, 100.0) == [], "an endplate is dark and thin"


def sacrum_of(depths_mm: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """A piece below the column at 1 mm: one depth for each 6 mm from row 110 on."""
    mask = np.zeros((200, 100), dtype=np.bool_)
    for step, depth in enumerate(depths_mm):
        mask[110 + 6 * step : 116 + 6 * step, round(50 - depth / 2) : round(50 + depth / 2)] = True
    return mask


USUAL = [30.0, 31.0, 30.0, 27.0, 23.0, 21.0, 18.0]


@pytest.mark.parametrize(
    ("depths", "doubted"),
    [
        (USUAL, False),
        (USUAL[:6], False),
        ([30.0, 31.0, 31.0, 30.0, 30.0, 30.0, 26.0], True),
        ([23.0, 23.0, 20.0, 17.0, 14.0, 12.0, 9.0], True),
    ],
    ids=["usual", "no farther", "long", "thin"],
)
def test_the_sacrum_s_shape_puts_the_count_in_doubt(depths: list[float], doubted: bool) -> None:
    bodies = [replace(BODY, centre=(90.0, 50.0))]
    sacrum = sacrum_of(depths)
    none = np.zeros_like(sacrum)
    assert depth_profile(sacrum, (1.0, 1.0), (90.0, 50.0), (117.0, 50.0))[:3] == pytest.approx(depths[:3], abs=1.1)
    found = sacral_doubts(sacrum, none, (1.0, 1.0), bodies, (117.0, 50.0))
    assert [reason.code for reason in found] == (["transitional"] if doubted else [])


def test_a_sacrum_that_is_cut_off_says_so() -> None:
    found = sacral_doubts(sacrum_of(USUAL[:3]), np.zeros((200, 100), np.bool_), (1.0, 1.0), [BODY], (117.0, 50.0))
    assert [reason.code for reason in found] == ["sacrum-cut-off"]


def test_a_disc_within_the_sacrum_puts_the_count_in_doubt() -> None:
    bodies, sacrum = [replace(BODY, centre=(90.0, 50.0))], sacrum_of(USUAL)
    disc = np.zeros_like(sacrum)
    disc[100:108, 36:64] = True
    assert sacral_doubts(sacrum, disc, (1.0, 1.0), bodies, (117.0, 50.0)) == [], "the disc above it is as it should be"
    disc[136:142, 38:62] = True
    (doubt,) = sacral_doubts(sacrum, disc, (1.0, 1.0), bodies, (117.0, 50.0))
    assert "disc" in doubt.text
