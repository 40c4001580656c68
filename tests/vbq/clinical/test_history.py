"""Conditions: what counts as history, as menopausal state, as an exclusion."""

import itertools

import pytest

from vbq.clinical.history import EXCLUSIONS, exclusions, menopause, read_conditions, vertebral_fracture

FRACTURE, POST, PRE, DURING, BONE_METASTASIS = "42942008", "76498008", "309606002", "303111005", "94222008"


def stated_of(rows, as_of):
    return read_conditions(rows, as_of)[0]


def test_a_recorded_fracture_is_history_and_none_is_not_known(condition, as_of) -> None:
    assert vertebral_fracture(stated_of([condition(FRACTURE)], as_of)).value is True
    assert vertebral_fracture([]) is None


@pytest.mark.parametrize("clinical", ["active", "inactive", "resolved", None])
def test_a_healed_fracture_is_still_history(condition, as_of, clinical) -> None:
    assert vertebral_fracture(stated_of([condition(FRACTURE, clinical_status=clinical)], as_of)) is not None


@pytest.mark.parametrize(
    ("verification", "code"),
    [("refuted", "refuted"), ("entered-in-error", "entered-in-error"), ("provisional", "unconfirmed")],
)
def test_a_fracture_that_is_not_established_does_not_count(condition, as_of, verification, code) -> None:
    stated, ignored = read_conditions([condition(FRACTURE, verification_status=verification)], as_of)
    assert stated == []
    assert [row.code for row in ignored] == [code]


def test_a_later_after_menopause_replaces_an_earlier_before(condition, as_of) -> None:
    rows = [condition(PRE, "2001-01-01"), condition(DURING, "2005-01-01"), condition(POST, "2010-01-01")]
    for order in itertools.permutations(rows):
        assert menopause(stated_of(order, as_of)).value == "post"


def test_menopause_is_not_undone_so_a_later_before_contradicts(condition, as_of) -> None:
    rows = [condition(POST, "2001-01-01"), condition(PRE, "2010-01-01")]
    assert menopause(stated_of(rows, as_of)).value == "contradictory"


def test_two_states_whose_order_is_not_known_contradict(condition, as_of) -> None:
    rows = [condition(POST, None), condition(PRE, "2010-01-01")]
    assert menopause(stated_of(rows, as_of)).value == "contradictory"


def test_surgical_menopause_counts_and_a_state_that_is_over_does_not(condition, as_of) -> None:
    assert menopause(stated_of([condition("371036001")], as_of)).value == "post"
    assert menopause(stated_of([condition(PRE, clinical_status="resolved")], as_of)) is None


def test_each_exclusion_is_found_even_when_it_is_over_or_suspected(condition, as_of) -> None:
    codes = ["94222008", "109989006", "36348003", "298382003", "2089002"]
    found = [
        exclusions([condition(code, clinical_status="resolved", verification_status="provisional")], as_of)[0].code
        for code in codes
    ]
    assert found == [name.replace("_", "-") for name in EXCLUSIONS]


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error"])
def test_a_refuted_exclusion_excludes_nobody(condition, as_of, verification) -> None:
    assert exclusions([condition(BONE_METASTASIS, verification_status=verification)], as_of) == []


def test_a_condition_of_the_future_does_not_count(condition, as_of) -> None:
    assert exclusions([condition(BONE_METASTASIS, "2031-01-01")], as_of) == []
