"""The network's wrapper: geometry, limits, and the shipped weights on a drawn slice."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.errors import ModelRefused, NotMeasurable
from training.generator.labels import as_labels, certain
from training.generator.sample import PIXEL_MM, draw_sample
from vbq.imaging import network_input
from vbq.imaging.network import (
    BACKGROUND,
    CANAL,
    CLASSES,
    CSF,
    DISC,
    VERTEBRAL_BODY,
    WEIGHTS,
    Network,
    load_network,
)

Array = NDArray[np.float32]


def bright_is_body(image: Array) -> Array:
    """A network of one rule, so that geometry can be told apart from learning: what shines is a body."""
    assert image.ndim == 4
    assert image.shape[1] == network_input.CHANNELS
    assert image.shape[2] % 32 == image.shape[3] % 32 == 0
    answer = np.zeros((1, len(CLASSES), *image.shape[2:]), dtype=np.float32)
    body = image[:, 0] > 0.8
    answer[:, VERTEBRAL_BODY] = body
    answer[:, BACKGROUND] = ~body
    return answer


RULE = Network(bright_is_body)


def square(rows: int, columns: int) -> Array:
    image = np.zeros((rows, columns), dtype=np.float32)
    image[rows // 4 : rows // 2, columns // 2 : columns * 3 // 4] = 700
    return image


@cache
def shipped() -> Network:
    return load_network()


@settings(max_examples=20, deadline=None)
@given(st.integers(160, 640), st.integers(160, 640), st.floats(0.65, 1.2), st.floats(0.65, 1.2))
def test_what_is_found_lies_where_it_was_whatever_the_matrix(rows: int, columns: int, dy: float, dx: float) -> None:
    image = square(rows, columns)
    prediction = RULE.predict(image, (dy, dx))
    assert prediction.pixel_mm == pytest.approx((PIXEL_MM, PIXEL_MM), rel=0.01)
    labels = prediction.labels_on_slice(rows, columns)
    assert labels.shape == image.shape
    truth, said = image > 0, labels == VERTEBRAL_BODY
    assert (truth & said).sum() / (truth | said).sum() > 0.9


def test_the_columns_asked_for_are_looked_at_and_the_rest_is_background() -> None:
    image = square(400, 400)
    whole = RULE.predict(image, (0.8, 0.8))
    columns = whole.spine_columns_mm()
    assert columns is not None
    assert columns[0] < 160 < 240 < columns[1]
    part = RULE.predict(image, (0.8, 0.8), columns)
    assert np.array_equal(part.labels_on_slice(400, 400), whole.labels_on_slice(400, 400))
    left = RULE.predict(image, (0.8, 0.8), (0.0, 60.0))
    assert (left.labels_on_slice(400, 400) == BACKGROUND).all()
    assert np.allclose(left.probabilities.sum(axis=0), 1)


def test_nothing_found_has_no_columns() -> None:
    assert RULE.predict(np.zeros((300, 300)), (1.0, 1.0)).spine_columns_mm() is None


@pytest.mark.parametrize("spacing", [(float("nan"), 1.0), (0.0, 1.0), (5.0, 5.0), (0.1, 0.1), (float("inf"), 1.0)])
def test_a_view_that_is_no_lumbar_spine_is_refused(spacing: tuple[float, float]) -> None:
    with pytest.raises(NotMeasurable, match="field of view") as refused:
        RULE.predict(np.ones((400, 400)), spacing)
    assert refused.value.reason_code == "field-of-view"


def test_an_image_of_three_dimensions_is_refused() -> None:
    with pytest.raises(NotMeasurable, match="two dimensions"):
        RULE.predict(np.ones((4, 400, 400)), (0.8, 0.8))


def test_pixels_that_are_no_numbers_do_not_spread() -> None:
    image = square(400, 400)
    image[0, 0], image[0, 1] = np.nan, np.inf
    assert np.isfinite(RULE.predict(image, (0.8, 0.8)).probabilities).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 5000))
def test_the_input_does_not_depend_on_the_scale_of_the_signal(seed: int, scale: float) -> None:
    image = np.random.default_rng(seed).gamma(2, 1, (64, 96)).astype(np.float32)
    one, other = network_input.normalise(image), network_input.normalise(image * np.float32(scale))
    assert one.shape == (network_input.CHANNELS, 64, 96)
    assert np.allclose(one, other, atol=2e-3)


def test_coil_falloff_changes_the_local_channel_of_a_spine_less_than_the_plain_one() -> None:
    changes = []
    for seed in range(8):
        sample = draw_sample(seed)
        falloff = np.exp(-np.arange(sample.image.shape[1]) / 90, dtype=np.float32)[::-1]
        plain, dimmed = network_input.normalise(sample.image), network_input.normalise(sample.image * falloff)
        spine = as_labels(sample.targets) != BACKGROUND
        changes.append((np.abs(plain - dimmed) / plain.std(axis=(1, 2), keepdims=True))[:, spine].mean(axis=1))
    plain_change, local_change, _ = np.mean(changes, axis=0)
    assert local_change < 0.5 * plain_change


def test_missing_or_broken_weights_are_refused_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"no network weights at gone\.onnx"):
        load_network(tmp_path / "gone.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelRefused, match=r"broken\.onnx"):
        load_network(broken)


def test_the_shipped_weights_are_small_and_have_a_card() -> None:
    assert WEIGHTS.stat().st_size < 6_000_000
    card = (WEIGHTS.parent / "MODEL_CARD.md").read_text()
    assert "CC BY 4.0" in card
    assert "SPIDER" in card


def test_the_shipped_weights_see_a_drawn_spine() -> None:
    overlap, total = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for seed in range(10**12 + 500, 10**12 + 508):  # beyond every seed that was trained on
        sample = draw_sample(seed)
        prediction = shipped().predict(sample.image, (PIXEL_MM, PIXEL_MM))
        assert np.allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-3)
        said, truth, sure = prediction.probabilities.argmax(axis=0), as_labels(sample.targets), certain(sample.targets)
        for one in range(len(CLASSES)):
            a, b = (said == one) & sure, (truth == one) & sure
            overlap[one] += 2 * (a & b).sum()
            total[one] += a.sum() + b.sum()
    dice = overlap / total
    assert dice[VERTEBRAL_BODY] > 0.85
    assert dice[DISC] > 0.7
    assert dice[CANAL] > 0.5
    assert dice[CSF] > 0.5


def test_the_model_card_names_the_weights_that_ship() -> None:
    card = (WEIGHTS.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in card
    assert WEIGHTS.stat().st_size < 6_000_000
