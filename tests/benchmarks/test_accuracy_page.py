"""The accuracy page tells from its rows what is good and what is not."""

import numpy as np
import pytest

from benchmarks.accuracy_page import Row, icc, page


def row(seed: int, true: float, vbq: float, **given: object) -> Row:
    plain: Row = {
        "seed": seed,
        "status": "measured",
        "true": true,
        "true_noisy": true * (1.02 if seed % 2 else 0.98),
        "vbq": vbq,
        "low": vbq * 0.95,
        "high": vbq * 1.05,
        "levels_wrong": 0,
        "slices_off": 0,
        "mm_off": 0.0,
        "reasons": "",
        "flags": "",
        "suspected": "",
        "fractured": "",
        "loss": 0.0,
        "cpu_seconds": 0.5,
    }
    others = (
        "noise",
        "view_mm",
        "falloff_mm",
        "degeneration",
        "root_spread",
        "tilt_deg",
        "scoliosis_mm",
        "listhesis_mm",
    )
    return plain | dict.fromkeys(others, 0.0) | given


def spread(count: int = 20) -> list[Row]:
    return [row(n, 2 + n / 10, (2 + n / 10) * (1.03 if n % 2 else 0.99)) for n in range(count)]


def test_bias_and_limits_of_agreement_are_those_of_the_rows() -> None:
    errors = np.array([3.0 if n % 2 else -1.0 for n in range(20)])
    low, high = 1 - 1.96 * errors.std(ddof=1), 1 + 1.96 * errors.std(ddof=1)
    assert f"| all | 20 | 20 | +1.00 | {low:+.1f} to {high:+.1f} |" in page(spread(), "", "")


def test_a_large_error_without_a_flag_is_told() -> None:
    assert "Errors over 10 %: 0 of 20, 0 of them flagged" in page(spread(), "", "")
    silent, said = row(30, 3.0, 3.4), row(31, 3.0, 3.4, flags="interval-wide")
    assert "Errors over 10 %: 2 of 22, 1 of them flagged" in page([*spread(), silent, said], "", "")


def test_a_body_under_another_name_is_told_to_be_silent_or_not() -> None:
    wrong = [row(40, 3, 3, levels_wrong=6), row(41, 3, 3, levels_wrong=6, status="needs_confirmation")]
    assert "a body under another's name in 2 of 22, without a word in 1." in page([*spread(), *wrong], "", "")


def test_what_a_flag_is_worth_is_told_beside_what_was_said_nothing_of() -> None:
    wide = [row(n, 3.0, 3.5, low=2.5, high=4.0, flags="interval-wide") for n in range(50, 54)]
    text = page([*spread(), *wide], "", "")
    assert "| nothing | 20 | 20 | +1.00 |" in text
    assert "| interval-wide | 4 | 4 | +16.67 | +16.7 to +16.7 |" in text


def test_the_seeds_and_what_measured_them_are_named() -> None:
    made = page([row(n, 3, 3, made_by="one 1.0 abc") for n in (7, 9)], "", "")
    assert "seeds 7 to 9, measured by one 1.0 abc" in made


def test_the_icc_of_two_equal_measurements_is_one_and_a_constant_shift_lowers_it() -> None:
    values = np.linspace(2, 5, 30)
    assert icc(values, values) == pytest.approx(1.0)
    assert icc(values, values + 0.5) < 0.95
