"""Numbers of events: what is missing is exactly what did not come."""

from hypothesis import given
from hypothesis import strategies as st

from gateways.fhir.event_numbers import MOST_SPANS, Numbers, bounded, count, without

spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair))), max_size=6)


def numbers_in(found: object) -> set[int]:
    assert isinstance(found, tuple | list)
    return {number for first, last in found for number in range(first, last + 1)}


@given(st.lists(st.lists(st.integers(1, 60), max_size=4), max_size=12))
def test_whatever_the_order_the_missing_numbers_are_those_that_did_not_come(notifications: list[list[int]]) -> None:
    found, came = Numbers(), set[int]()
    for numbers in notifications:
        found = found.after(numbers)
        came |= set(numbers)
    assert found.top == max(came, default=0)
    assert numbers_in(found.missing) == set(range(1, found.top + 1)) - came
    assert list(found.missing) == sorted(found.missing)
    assert all(left[1] + 1 < right[0] for left, right in zip(found.missing, found.missing[1:], strict=False))


@given(st.permutations(list(range(1, 9))), st.integers(8, 12))
def test_an_announced_count_makes_missing_what_is_not_there_yet(order: list[int], announced: int) -> None:
    found = Numbers()
    for number in order:
        found = found.after([number], announced)
    assert numbers_in(found.missing) == set(range(9, announced + 1))
    assert found.closed(((1, 20),)).missing == ()


@given(spans, spans)
def test_taking_spans_away_is_taking_their_numbers_away(
    kept: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    plain = without(sorted(kept), [])
    assert numbers_in(plain) == numbers_in(kept)
    assert numbers_in(without(plain, taken)) == numbers_in(kept) - numbers_in(taken)
    assert count(plain) == len(numbers_in(plain))


def test_many_gaps_are_counted_together_and_none_is_forgotten() -> None:
    every_other = tuple((number, number) for number in range(1, 2 * MOST_SPANS * 3, 2))
    few = bounded(every_other)
    assert len(few) == MOST_SPANS
    assert numbers_in(every_other) <= numbers_in(few)
