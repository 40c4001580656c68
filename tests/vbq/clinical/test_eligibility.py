"""Whom the model may be asked about."""

import pytest

from schemas.config import MergePolicy
from schemas.model import Population
from vbq.clinical.eligibility import eligibility
from vbq.clinical.merge import merge

WOMEN = Population(sex="female", menopause="post", description="women after menopause")


def verdict(record, as_of, population=WOMEN):
    return eligibility(record, merge(record, as_of, None, MergePolicy()), population, as_of)


def outside(record, as_of, population=WOMEN):
    return [row.code for row in verdict(record, as_of, population).outside]


def test_an_old_woman_without_exclusions_is_inside(facts, as_of) -> None:
    found = verdict(facts(), as_of)
    assert (found.outside, found.missing) == ([], [])


@pytest.mark.parametrize("gender", ["male", "other"])
def test_who_is_not_a_woman_is_outside(facts, as_of, gender) -> None:
    assert outside(facts(gender=gender), as_of) == ["sex"]


@pytest.mark.parametrize("code", ["309606002", "303111005"])
def test_before_and_during_menopause_is_outside_even_at_seventy(facts, condition, as_of, code) -> None:
    assert outside(facts(condition(code)), as_of) == ["not-postmenopausal"]


def test_a_younger_woman_is_inside_by_code_and_unknown_without(facts, condition, as_of) -> None:
    young = {"born": "1980-01-01"}
    assert verdict(facts(condition("76498008"), **young), as_of).missing == []
    assert verdict(facts(**young), as_of).missing == ["menopause"]
    assert verdict(facts(**young), as_of).outside == []


def test_contradictory_records_leave_menopause_open(facts, condition, as_of) -> None:
    rows = [condition("76498008", "2001-01-01"), condition("309606002", "2010-01-01")]
    assert verdict(facts(*rows), as_of).missing == ["menopause"]


def test_what_the_record_does_not_say_is_missing(facts, as_of) -> None:
    assert verdict(facts(gender=None), as_of).missing == ["sex", "menopause"]
    assert verdict(facts(born=None), as_of).missing == ["age_years", "menopause"]


def test_exclusions_and_death_put_a_patient_outside(facts, condition, as_of) -> None:
    assert outside(facts(condition("94222008"), condition("298382003")), as_of) == [
        "exclusion-bone-metastasis",
        "exclusion-scoliosis",
    ]
    assert outside(facts(deceased=True), as_of) == ["deceased"]


def test_a_model_with_ages_keeps_to_them(facts, as_of) -> None:
    ages = Population(sex="any", menopause="any", minimum_age_years=75, maximum_age_years=90, description="old")
    assert outside(facts(), as_of, ages) == ["too-young"]
    assert outside(facts(born="1930-01-01"), as_of, ages) == ["too-old"]
    assert outside(facts(gender="male", born="1945-01-01"), as_of, ages) == []
