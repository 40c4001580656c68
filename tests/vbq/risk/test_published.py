"""The shipped model is what the printed figures give, and says what it rests on."""

import math

import pytest

from vbq.risk import published
from vbq.risk.artefact import canonical
from vbq.risk.published_attributes import NAMES
from vbq.risk.shipped import DEFAULT_MODEL, shipped_models


def test_coefficients_follow_from_the_printed_ratios_and_limits() -> None:
    vbq = published.coefficient(1.87, (1.26, 2.78))
    t_score = published.coefficient(0.76, (0.63, 0.92))
    assert [round(value, 4) for value in (*vbq, *t_score)] == [0.6259, 0.2019, -0.2744, 0.0966]
    assert published.linear_predictor_sd() == pytest.approx(0.75, abs=0.001)


@pytest.mark.parametrize(("shape", "survival"), [(1.0, 0.701), (0.7, 0.683), (1.5, 0.729), (2.0, 0.756)])
def test_the_calibration_gives_the_baseline_of_the_method(shape, survival) -> None:
    found = published.calibrate(weibull_shape=shape)
    assert found.survival == pytest.approx(survival, abs=0.001)
    assert found.se_log_hazard == pytest.approx(0.16, abs=0.006)


def test_what_the_model_carries_is_the_calibration_rounded() -> None:
    found = published.calibrate()
    assert round(found.survival, 3) == published.SURVIVAL_AT_HORIZON
    assert round(found.se_log_hazard, 2) == published.SE_LOG_HAZARD


def test_the_calibration_answers_to_the_number_of_events() -> None:
    assert published.calibrate(events=40).survival > published.calibrate(events=70).survival


def test_the_shipped_file_is_byte_for_byte_what_the_derivation_gives() -> None:
    content, _ = shipped_models()[DEFAULT_MODEL]
    assert content == canonical(published.build())


def test_it_carries_all_31_source_attributes_and_leaves_the_unknown_ones_open() -> None:
    model = published.build()
    assert [row.number for row in model.source_attributes] == [number for number, _ in NAMES]
    assert len(model.source_attributes) == 31
    unknown = [row.number for row in model.source_attributes if row.value is None]
    assert unknown
    assert all(row.value.strip() for row in model.source_attributes if row.value is not None)


def test_the_covariance_is_one() -> None:
    (a, b), (c, d) = published.build().covariance
    assert b == c
    assert b / math.sqrt(a * d) == pytest.approx(0.42, abs=1e-6)
    assert a * d > b * b
