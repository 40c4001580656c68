"""The phantom's conditions: each changes what it says, and without any the phantom is the one that it was."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.dicom.write import write_study
from tests.vbq.simulate.conftest import small
from vbq.simulate.anatomy import build_anatomy
from vbq.simulate.conditions import NONE, Conditions, Modic
from vbq.simulate.documents import truth_document
from vbq.simulate.person import draw_person, study_uid
from vbq.simulate.study import PhantomStudy, simulate_study
from vbq.simulate.truth import pixels_inside

PLAIN: dict[str, Any] = {"listhesis_mm": 0.0, "modic": False, "haemangioma": False, "scoliosis_mm": 0.0, "slices": 1}


def made(seed: int = 7, /, **given: Any) -> PhantomStudy:
    own = {name: given.pop(name) for name in tuple(given) if name in Conditions.model_fields}
    return simulate_study(small(seed, **{**PLAIN, "conditions": Conditions(**own), **given}))


@pytest.fixture(scope="module")
def plain() -> PhantomStudy:
    return made()


def mean_in(study: PhantomStudy, level: str, where: PhantomStudy) -> float:
    """The mean of `study` in the oval that `where` has for `level`."""
    oval = next(oval for name, oval in where.truth.regions.bodies.items() if name == level)
    return float(study.series[0].images[0][pixels_inside(oval, study.series[0].planes[0])].mean())


def test_a_phantom_without_conditions_is_what_it_was_before_there_were_any() -> None:
    parameters = small()
    assert parameters.conditions == NONE
    assert "conditions" not in parameters.model_dump()
    known = hashlib.sha256(study_uid(parameters, draw_person(7)).encode()).hexdigest()
    assert known == "52c807f37f1bacffadbf05c5fffd25a8a2f9991d7ad67caea2eff281485714ea"


def test_a_condition_is_another_study() -> None:
    person = draw_person(7)
    one, other = small(), small(conditions=Conditions(metal=["L3"]))
    assert study_uid(one, person) != study_uid(other, person)
    assert other.model_validate(other.model_dump()) == other


def test_metal_leaves_a_void_and_a_bright_rim_and_its_level_has_no_true_region(plain: PhantomStudy) -> None:
    study = made(metal=["L3"])
    before, after = plain.series[0].images[0].astype(int), study.series[0].images[0].astype(int)
    assert (after < 0.2 * before).sum() > 60
    assert (after > 1.8 * before).sum() > 15
    assert "L3" not in study.truth.regions.bodies
    assert study.truth.regions.used == ("L1", "L2", "L4", "L5")
    assert study.truth.vbq == pytest.approx(4.1, rel=0.005)


@pytest.mark.parametrize(("given", "change"), [({"haemangioma": ["L2"]}, 1.04), ({"schmorl": ["L2"]}, 0.97)])
def test_a_lesion_changes_its_own_level_alone(given: dict[str, Any], change: float, plain: PhantomStudy) -> None:
    study = made(**given)
    ratio = {level: mean_in(study, level, plain) / mean_in(plain, level, plain) for level in ("L1", "L2", "L4")}
    others = (ratio["L1"] + ratio["L4"]) / 2  # the marrow is solved for anew
    assert ratio["L1"] == pytest.approx(ratio["L4"], rel=0.02)
    assert (ratio["L2"] / others > change) if change > 1 else (ratio["L2"] / others < change)
    assert "L2" not in study.truth.regions.bodies


@pytest.mark.parametrize(("kind", "brighter"), [(1, False), (2, True), (3, False)])
def test_modic_changes_are_dark_bright_and_black(kind: int, brighter: bool, plain: PhantomStudy) -> None:
    asked = Conditions(modic=[Modic.model_validate({"disc": "L3/L4", "type": kind})])
    study = simulate_study(small(7, **{**PLAIN, "conditions": asked}))
    anatomy = build_anatomy(study.parameters)
    plane = study.series[0].planes[0]
    body = anatomy.spine.at("L4")
    row, column = (round(at) for at in plane.pixel_of(body.place(0, -0.2 * body.depth_mm, 0.5 * body.height_mm - 4)))
    spot = (slice(row - 1, row + 2), slice(column - 1, column + 2))
    change = study.series[0].images[0][spot].mean() / plain.series[0].images[0][spot].mean()
    assert change > 1.1 if brighter else change < 0.8


def test_the_junction_s_variants_change_the_junction() -> None:
    usual = build_anatomy(small(**PLAIN)).spine
    lumbarised = build_anatomy(small(**PLAIN, conditions=Conditions(variant="lumbarised-s1"))).spine
    assert usual.at("S1").sacral
    assert not lumbarised.at("S1").sacral
    narrow, wide = (
        next(disc.frame.height_mm for disc in spine.discs if disc.below.level == "S2") for spine in (usual, lumbarised)
    )
    assert wide > 2 * narrow
    merged = build_anatomy(small(**PLAIN, conditions=Conditions(variant="merged-sacrum"))).spine
    assert [disc.frame.level for disc in merged.discs if disc.fused] == ["L5/S1"]


def test_a_view_that_is_moved_has_no_true_regions_beyond_its_edge() -> None:
    up, down = made(view_up_mm=90.0), made(view_up_mm=-100.0)
    assert "S1" not in up.truth.regions.bodies
    assert "L1" not in down.truth.regions.bodies
    assert math.isfinite(down.truth.vbq)
    assert truth_document(down, draw_person(7))["bodies"]["L5"]


def test_fat_moves_with_the_chemical_shift_and_water_does_not(plain: PhantomStudy) -> None:
    moved = made(chemical_shift_px=3.0)
    assert best_shift(profile(plain), profile(moved)) in (2, 3)
    assert moved.truth.vbq == pytest.approx(4.1, rel=0.005)


def profile(study: PhantomStudy) -> np.ndarray:
    """Rows through the subcutaneous fat of the back: all of it is fat."""
    image = study.series[0].images[0].astype(float)
    return image[:, -90:].sum(axis=1)


def best_shift(one: np.ndarray, other: np.ndarray) -> int:
    a, b = np.diff(one), np.diff(other)
    return max(range(-5, 6), key=lambda k: float((a[10:-10] * np.roll(b, -k)[10:-10]).sum()))


@pytest.mark.parametrize("given", [{"sequence": "t2"}, {"sequence": "stir"}, {"sequence": "t1-gd"}, {"part": "knee"}])
def test_what_is_no_lumbar_t1_has_no_vbq(given: dict[str, Any]) -> None:
    study = made(**given)
    document = truth_document(study, draw_person(7))
    assert math.isnan(study.truth.vbq)
    assert document["vbq"] is None
    assert document["parameters"]["conditions"]["part"] == study.parameters.conditions.part


def test_a_gain_that_is_too_high_cuts_off_and_leaves_the_truth(plain: PhantomStudy) -> None:
    study = made(gain=16.0)
    assert study.truth.vbq == pytest.approx(plain.truth.vbq)
    assert (study.series[0].images[0] == 4095).mean() > 0.05


@pytest.mark.parametrize("tags", ["honest", "bare", "lumbar-t1"])
def test_headers_say_what_was_asked_for(tags: str, tmp_path: Path) -> None:
    import pydicom

    study = made(part="knee", tags=tags, rows=128, columns=128, pixel_mm=2.0)
    (path,) = write_study(study, draw_person(7), tmp_path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    said = [header.get(name) for name in ("BodyPartExamined", "RepetitionTime", "SeriesDescription")]
    expected = {
        "honest": ["KNEE", 580, "SAG T1 TSE KNEE"],
        "bare": [None] * 3,
        "lumbar-t1": ["LSPINE", 580, "SAG T1 TSE"],
    }
    assert said == expected[tags]
