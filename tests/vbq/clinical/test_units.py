"""Conversion goes by the stated unit."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clinical import InputName
from vbq.clinical.units import UNIT_OF, convert, factor, stated_units

ROWS = [(name, unit) for name in get_args(InputName) for unit in stated_units(name)]


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("creatinine_umol_l", 0.9, "mg/dL", 79.56),
        ("creatinine_umol_l", 79.56, "umol/L", 79.56),
        ("creatinine_umol_l", 79.56, "µmol/l", 79.56),
        ("calcium_mmol_l", 9.4, "mg/dL", 2.3453),
        ("phosphate_mmol_l", 3.5, "mg/dL", 1.13015),
        ("urate_umol_l", 5.5, "mg/dL", 327.14),
        ("glucose_mmol_l", 104.0, "mg/dL", 5.77304),
        ("crcl_ml_min", 1.2, "mL/s", 72.0),
        ("weight_kg", 130.0, "[lb_av]", 58.967),
        ("alp_u_l", 1.43, "ukat/L", 85.8),
        ("t_score", -2.4, None, -2.4),
    ],
)
def test_figures_of_the_table_of_factors(name, value, unit, expected) -> None:
    assert convert(name, value, unit) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("t_score", "g/cm2"),
        ("t_score", "{Z-score}"),
        ("crcl_ml_min", "mL/min/{1.73_m2}"),
        ("creatinine_umol_l", None),
        ("creatinine_umol_l", ""),
        ("weight_kg", None),
        ("alp_u_l", "mg/dL"),
        ("age_years", "a"),
    ],
)
def test_a_unit_that_is_not_this_input_s_converts_to_nothing(name, unit) -> None:
    assert convert(name, 1.0, unit) is None


@given(row=st.sampled_from(ROWS), value=st.floats(1e-3, 1e4))
def test_a_conversion_can_be_undone(row, value) -> None:
    name, unit = row
    by = factor(name, unit)
    assert convert(name, value / by, unit) == pytest.approx(value, rel=1e-12)


@given(row=st.sampled_from(ROWS), a=st.floats(0, 1e4), b=st.floats(0, 1e4))
def test_a_conversion_keeps_the_order_of_values(row, a, b) -> None:
    name, unit = row
    assert (convert(name, a, unit) <= convert(name, b, unit)) == (a <= b) or a == pytest.approx(b)


def test_every_input_has_a_unit_and_accepts_it() -> None:
    assert set(UNIT_OF) == set(get_args(InputName))
    for name, _ in ROWS:
        assert factor(name, UNIT_OF[name]) == 1.0
