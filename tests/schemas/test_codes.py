"""The code table: every id's check digit holds, and a code alone means nothing."""

import pytest

from schemas.codes import CPT, LOINC, RADLEX, SNOMED_CT, codes_of, lookup, table

_VERHOEFF_D = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
_VERHOEFF_P = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
]


def verhoeff_holds(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[place % 8][int(digit)]]
    return check == 0


def loinc_holds(code: str) -> bool:
    """Mod 10 (Luhn) over the number before the dash."""
    number, _, digit = code.partition("-")
    doubled = "".join(str(int(d) * 2) if i % 2 == 0 else d for i, d in enumerate(reversed(number)))
    return int(digit) == -sum(map(int, doubled)) % 10


def test_the_check_digit_rules_refuse_known_wrong_ids() -> None:
    assert not loinc_holds("80948-1")
    assert not verhoeff_holds("241648008")


@pytest.mark.parametrize("row", [row for row in table() if row.system == LOINC], ids=lambda row: row.code)
def test_every_loinc_code_has_its_check_digit(row) -> None:
    assert loinc_holds(row.code)


@pytest.mark.parametrize("row", [row for row in table() if row.system == SNOMED_CT], ids=lambda row: row.code)
def test_every_snomed_id_has_its_check_digit(row) -> None:
    assert verhoeff_holds(row.code)
    assert row.code[-3:-1] in {"00", "10"}, "the partition says that it is a concept"


def test_no_code_is_listed_twice() -> None:
    keys = [(row.system, row.code) for row in table()]
    assert len(set(keys)) == len(keys) >= 70
    assert {row.system for row in table()} == {LOINC, SNOMED_CT, RADLEX, CPT}


def test_a_code_without_its_system_means_nothing() -> None:
    assert lookup(LOINC, "38267-1").concept == "tscore_spine"
    assert lookup(None, "38267-1") is None
    assert lookup(SNOMED_CT, "38267-1") is None
    assert lookup("urn:oid:2.16.840.1.113883.6.1", "38267-1").concept == "tscore_spine"


def test_synthea_s_generic_t_score_code_is_the_forearm() -> None:
    assert lookup(LOINC, "38265-5").concept == "tscore_forearm"


def test_unverified_and_conflicting_codes_are_not_in_the_table() -> None:
    for system, code in ((LOINC, "80948-1"), (LOINC, "3141-9"), (SNOMED_CT, "207938004"), (SNOMED_CT, "55705006")):
        assert lookup(system, code) is None


def test_codes_of_a_concept_come_in_the_order_of_the_file_and_an_unknown_concept_is_an_error() -> None:
    assert [row.code for row in codes_of("creatinine")] == ["2160-0", "14682-9"]
    with pytest.raises(KeyError):
        codes_of("no such concept")
