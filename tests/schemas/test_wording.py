"""Values in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wording import input_text, number, percent, used_and_other, value_text
from tests import assessments as made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.26, "4.26"),
        (-2.9, "-2.9"),
        (79.56, "79.6"),
        (325.4, "325"),
        (12345.6, "12346"),
        (0.0, "0"),
        (-0.001, "0"),
        (57, "57"),
    ],
)
def test_numbers_have_three_digits_or_so(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(-1e6, 1e6))
def test_a_number_in_words_is_within_half_a_percent_or_half_a_hundredth(value: float) -> None:
    assert abs(float(number(value)) - value) <= max(0.0050001, abs(value) * 0.0051)


def test_values_have_the_units_that_people_write() -> None:
    shown = {row.name: value_text(row) for row in made.inputs()}
    assert shown == {
        "vbq": "4.26",
        "t_score": "-2.48",
        "creatinine_umol_l": "79.6 µmol/L",
        "crcl_ml_min": "58.2 mL/min",
        "menopause": "postmenopausal",
        "history_vf": "yes",
    }
    assert value_text(made.inputs()[5].but(value=False)) == "no"
    assert percent(0.2988) == "29.9 %"


def test_what_is_assumed_estimated_or_old_is_said_so() -> None:
    lines = [input_text(row) for row in made.inputs()]
    assert lines[1] == "DXA T-score, lumbar spine (L1-L4) -2.48 (2021-12-01; older than the configured window)"
    assert lines[3] == "Creatinine clearance 58.2 mL/min (2023-12-01; estimated; Cockcroft-Gault)"
    assert lines[4] == "Menopausal status postmenopausal (assumed from an age of 55 years or more)"


def test_what_the_model_predicts_from_is_told_apart_where_it_is_recorded() -> None:
    used, other = used_and_other(made.assessment())
    assert [row.name for row in used] == ["vbq", "t_score"]
    assert [*used, *other] == made.inputs()
    unrecorded = made.assessment(model=made.assessment().model.but(inputs=[]))
    assert used_and_other(unrecorded) == ([], made.inputs())
