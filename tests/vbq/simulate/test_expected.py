"""What an image holds on average over all noise: Rice's mean, and the ratio of the true regions under it."""

import numpy as np
import pytest

from vbq.simulate.acquisition import SCALE, expected, stored
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.study import simulate_study


@pytest.mark.parametrize("signal", [0.0, 0.02, 0.05, 0.4])
def test_the_expected_image_is_the_mean_of_many_noisy_ones(signal: float) -> None:
    rng, sigma = np.random.default_rng(5), 0.04
    real, imaginary = rng.normal(signal, sigma, 200_000), rng.normal(0, sigma, 200_000)
    noisy = stored(real.astype(np.float32), imaginary.astype(np.float32))
    told = float(expected(np.full(1, signal, dtype=np.float32), sigma)[0])
    assert told == pytest.approx(float(noisy.mean()), rel=0.01)
    assert told > signal * SCALE


def test_without_noise_the_expected_ratio_is_the_ratio() -> None:
    truth = simulate_study(
        draw_parameters(301, 3.0, rows=192, columns=192, pixel_mm=1.6, noise=0.0, distractors=False)
    ).truth
    assert truth.expected_vbq == pytest.approx(truth.vbq, rel=0.003)  # rounding to whole numbers is left
