"""One observation: candidate, ignored with a reason, or not ours."""

import pytest

from schemas.clinical import Coding, IgnoredInput
from schemas.codes import LOINC, SNOMED_CT
from vbq.clinical.observe import Candidate, read

SPINE, HIP, FOREARM, Z_SPINE = "38267-1", "38264-8", "38265-5", "85394-5"


def ignored_code(found) -> str:
    assert isinstance(found, IgnoredInput)
    return found.code


@pytest.mark.parametrize("unit", ["{T-score}", "{score}", "1", None, "", "T-score"])
def test_a_spine_t_score_counts_with_a_t_score_unit_or_none(observed, as_of, unit) -> None:
    found = read(observed(SPINE, -2.4, unit), as_of)
    assert isinstance(found, Candidate)
    assert (found.name, found.value, found.note) == ("t_score", -2.4, None)


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        (SPINE, 40.0, "{T-score}", "implausible"),
        (SPINE, -8.1, None, "implausible"),
        (SPINE, 0.889, "g/cm2", "wrong-unit"),
        (SPINE, -1.2, "{Z-score}", "z-score"),
        (Z_SPINE, -1.2, "{Z-score}", "z-score"),
        ("24966-4", 0.889, "g/cm2", "bone-density"),
        ("29463-7", 61.0, None, "no-unit"),
        ("29463-7", 61.0, "cm", "wrong-unit"),
        ("29463-7", 6.1, "kg", "implausible"),
        ("2160-0", 0.9, None, "no-unit"),
        ("62238-1", 70.0, "mL/min/{1.73_m2}", "egfr"),
        ("2164-2", 70.0, "mL/min/{1.73_m2}", "wrong-unit"),
        ("1995-0", 1.2, "mmol/L", "ionised"),
        (SPINE, None, "{T-score}", "no-value"),
    ],
)
def test_what_cannot_count_is_ignored_with_its_reason(observed, as_of, code, value, unit, expected) -> None:
    assert ignored_code(read(observed(code, value, unit), as_of)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("preliminary", "preliminary"),
        ("registered", "registered"),
        ("cancelled", "cancelled"),
        ("entered-in-error", "entered-in-error"),
        ("unknown", "unknown"),
        ("bogus", "status-unknown"),
    ],
)
def test_only_a_final_result_counts(observed, as_of, status, expected) -> None:
    assert ignored_code(read(observed(SPINE, -2.4, None, status=status), as_of)) == expected


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_a_corrected_result_counts(observed, as_of, status) -> None:
    assert isinstance(read(observed(SPINE, -2.4, None, status=status), as_of), Candidate)


def test_the_molar_code_with_a_mass_unit_is_converted_by_the_unit(observed, as_of) -> None:
    found = read(observed("14682-9", 0.9, "mg/dL"), as_of)
    assert found.value == pytest.approx(79.56)
    assert "mg/dL" in found.note


def test_a_forearm_t_score_never_becomes_the_spine_s_whatever_its_body_site_says(observed, as_of) -> None:
    assert read(observed(FOREARM, -2.4, None), as_of).name == "t_score_forearm"
    lumbar = [Coding(system=SNOMED_CT, code="122496007")]
    assert ignored_code(read(observed(FOREARM, -2.4, None, body_sites=lumbar), as_of)) == "wrong-site"


def test_a_t_score_of_one_vertebra_is_not_that_of_l1_to_l4(observed, as_of) -> None:
    site = [Coding(system=SNOMED_CT, code="66794005")]
    assert ignored_code(read(observed(SPINE, -2.4, None, body_sites=site), as_of)) == "single-vertebra"


def test_a_display_that_says_z_score_casts_doubt_on_a_t_score_code(observed, as_of) -> None:
    codings = [Coding(system=LOINC, code=SPINE, display="DXA spine Z-Score")]
    assert ignored_code(read(observed(SPINE, -2.4, None, codings=codings), as_of)) == "z-score"


def test_a_display_alone_never_makes_a_value_count(observed, as_of) -> None:
    codings = [Coding(system="urn:local", code="x", display="DXA Lumbar spine [T-score]")]
    assert read(observed(SPINE, -2.4, None, codings=codings), as_of) is None


def test_codes_that_name_two_things_cancel_each_other(observed, as_of) -> None:
    codings = [Coding(system=LOINC, code=SPINE), Coding(system=LOINC, code=HIP)]
    assert ignored_code(read(observed(SPINE, -2.4, None, codings=codings), as_of)) == "conflicting-codes"


def test_a_z_score_code_beside_a_t_score_code_wins(observed, as_of) -> None:
    codings = [Coding(system=LOINC, code=SPINE), Coding(system=LOINC, code=Z_SPINE)]
    assert ignored_code(read(observed(SPINE, -2.4, None, codings=codings), as_of)) == "z-score"


@pytest.mark.parametrize(("on", "expected"), [(None, "no-date"), ("2024-05", "partial-date"), ("2024-06-03", "future")])
def test_a_value_that_cannot_be_placed_in_the_past_does_not_count(observed, as_of, on, expected) -> None:
    assert ignored_code(read(observed(SPINE, -2.4, None, on), as_of)) == expected


def test_today_east_of_greenwich_is_not_the_future(observed, as_of) -> None:
    assert isinstance(read(observed(SPINE, -2.4, None, "2024-06-02"), as_of), Candidate)


def test_an_instant_ahead_of_the_clock_is_the_future(observed, as_of) -> None:
    assert ignored_code(read(observed(SPINE, -2.4, None, "2024-06-01T13:00:00+00:00"), as_of)) == "future"


def test_an_ignored_value_never_repeats_the_value(observed, as_of) -> None:
    found = read(observed(SPINE, 41.75, "{T-score}"), as_of)
    assert "41" not in found.model_dump_json().replace(found.source, "")
