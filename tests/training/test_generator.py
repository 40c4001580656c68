"""The drawn slices: what they promise to the training."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from training.generator.anatomy import L1, S1, draw_spine, draw_transition
from training.generator.curves import closed_curve, normals, open_curve
from training.generator.labels import ANYTHING, BODY, CANAL, CLASSES, CSF, DISC, SACRUM, as_labels, bit, certain
from training.generator.sample import PIXEL_MM, SIDE, Sample, draw_sample
from training.generator.tissue import CONTRAST_SHARES, Contrast


@cache
def samples() -> tuple[Sample, ...]:
    return tuple(draw_sample(seed) for seed in range(24))


def test_the_same_seed_draws_the_same_slice() -> None:
    again = draw_sample(3)
    assert np.array_equal(again.image, samples()[3].image)
    assert np.array_equal(again.targets, samples()[3].targets)
    assert not np.array_equal(again.image, samples()[4].image)


def test_a_slice_is_finite_positive_and_has_an_answer_everywhere() -> None:
    for one in samples():
        assert one.image.shape == one.targets.shape == (SIDE, SIDE)
        assert np.isfinite(one.image).all()
        assert one.image.min() >= 0
        assert one.image.max() > 0
        assert (one.targets > 0).all()
        assert (one.targets <= ANYTHING).all()


def test_every_class_is_drawn_and_most_pixels_are_certain() -> None:
    seen = Counter(int(c) for one in samples() for c in np.unique(as_labels(one.targets)))
    assert set(seen) == set(range(len(CLASSES)))
    assert np.mean([certain(one.targets).mean() for one in samples()]) > 0.97


def test_bodies_lie_above_the_sacrum_and_in_front_of_the_canal() -> None:
    for one in samples():
        labels = as_labels(one.targets)
        rows, columns = np.nonzero(labels == BODY)
        assert rows.size > 0
        sacral = np.nonzero(labels == SACRUM)[0]
        if sacral.size > 50:
            assert rows.mean() < sacral.mean()
        canal = np.nonzero((labels == CANAL) | (labels == CSF))
        if canal[0].size > 400:
            level = np.isin(rows, canal[0])
            assert columns[level].mean() < canal[1].mean()


def test_discs_lie_between_bodies() -> None:
    for one in samples():
        labels = as_labels(one.targets)
        discs, bodies = np.nonzero(labels == DISC), np.nonzero(labels == BODY)
        assert discs[0].size < bodies[0].size
        assert abs(discs[1].mean() - bodies[1].mean()) < 35


def test_most_slices_are_t1_and_some_cut_off_s1() -> None:
    assert CONTRAST_SHARES[Contrast.T1] >= 0.6
    assert sum(CONTRAST_SHARES.values()) == pytest.approx(1)
    kinds = Counter(one.contrast for one in samples())
    assert kinds[Contrast.T1] > len(samples()) / 3
    without_sacrum = sum((as_labels(one.targets) != SACRUM).all() for one in samples())
    assert 0 < without_sacrum < len(samples()) / 2


def test_csf_is_darker_than_marrow_on_t1_and_brighter_on_t2() -> None:
    ratio: dict[Contrast, list[float]] = {Contrast.T1: [], Contrast.T2: []}
    for one in samples():
        labels = as_labels(one.targets)
        if one.contrast in ratio and (labels == CSF).sum() > 100:
            ratio[one.contrast].append(float(one.image[labels == CSF].mean() / one.image[labels == BODY].mean()))
    assert np.median(ratio[Contrast.T1]) < 0.9
    assert np.median(ratio[Contrast.T2]) > 1.1


def test_a_spine_stands_on_its_sacrum_and_its_canal_runs_behind_it() -> None:
    for seed in range(40):
        spine = draw_spine(np.random.default_rng(seed), np.array([130.0, 220.0]))
        heights = [one.centre[1] for one in spine.bodies]
        assert heights == sorted(heights, reverse=True)
        assert spine.bodies[S1].level == S1
        assert spine.bodies[L1].level == L1
        gaps = np.linalg.norm(spine.rear - spine.front, axis=1)
        assert gaps.max() < 35
        assert np.all(spine.lateral_mm >= 0)


def spines(kind: str, doubtful: bool) -> list[int]:
    """Seeds below 400 whose junction is of this kind."""
    transitions = (draw_transition(kind, np.random.default_rng(seed)) for seed in range(400))
    return [seed for seed, one in enumerate(transitions) if one.doubtful is doubtful]


def test_a_square_body_over_a_full_disc_is_a_vertebra_and_other_mixtures_are_doubtful() -> None:
    for kind in ("sacralised", "lumbarised"):
        assert 200 < len(spines(kind, doubtful=False)) < 320
        for seed in spines(kind, doubtful=False):
            one = draw_transition(kind, np.random.default_rng(seed))
            assert one.taper <= 0.3
            assert one.reach >= 0.9
            assert one.disc_mm >= 2
    assert not spines("", doubtful=True)


def test_a_transitional_vertebra_allows_both_answers_only_where_it_is_doubtful() -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    for seed in range(24, 64):
        rng = np.random.default_rng(seed)
        low = rng.random() < 0.12
        size = SIDE * PIXEL_MM
        start = [rng.uniform(70, 190), rng.uniform(size + 5, size + 55) if low else rng.uniform(130, 245)]
        transition = draw_spine(rng, np.array(start)).transition
        both = (draw_sample(seed).targets == bit(BODY, SACRUM)).any()
        assert transition.doubtful or not both
        seen[transition.kind, bool(both)] += 1
    assert seen["", False] > 20
    assert any(both for _, both in seen)
    assert any(kind and not both for kind, both in seen)


def test_curves_pass_through_their_points() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    assert np.allclose(closed_curve(points, 6)[::6], points)
    assert np.allclose(open_curve(points, 6)[::6], points)


def test_normals_of_a_line_towards_the_feet_point_to_the_back() -> None:
    line = np.stack([np.full(8, 5.0), np.arange(8.0)], axis=1)
    assert np.allclose(normals(line), [1.0, 0.0])
