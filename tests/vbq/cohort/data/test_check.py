"""The check of a cohort file, and maps that repair it."""

import pytest

from vbq.cohort.data.check import check_table
from vbq.cohort.data.mapping import apply_map, read_map
from vbq.cohort.data.reading import read_table
from vbq.cohort.errors import UnusableCohort


def found(text: str):
    return check_table(read_table(text.encode(), "f.csv"))


def test_a_sound_file_is_sound(visits) -> None:
    checked = check_table(read_table(visits(), "f.csv"))
    assert checked.ok
    assert any("visits, not events" in problem.text for problem in checked.problems)


@pytest.mark.parametrize(
    ("rows", "column", "line", "words"),
    [
        ("1,70,0,5,60\n1,71,1,6,61", "id", 3, "occurred before"),
        ("1,7,0,5,60\n2,71,1,6,61", "age", 2, "outside 18 to 110"),
        ("1,70,0,5,60\n2,71,2,6,61", "event", 3, "not 0 or 1"),
        ("1,70,0,-5,60\n2,71,1,6,61", "follow_up", 2, "outside"),
        ("1,70,0,5,sixty\n2,71,1,6,61", "weight", 2, "text where a number"),
        ("1,70,0,5,inf\n2,71,1,6,61", "weight", 2, "infinite"),
    ],
)
def test_every_problem_has_its_column_and_line(rows, column, line, words) -> None:
    checked = found(f"id,age,event,follow_up,weight\n{rows}\n")
    assert not checked.ok
    assert [(p.column, p.lines) for p in checked.problems if words in p.text] == [(column, (line,))]


def test_a_column_in_another_unit_is_recognised() -> None:
    rows = "\n".join(f"{i},{9.2 + i / 10},{i % 2},5.{i}" for i in range(8))
    problem = next(p for p in found(f"id,calcium,event,follow_up\n{rows}\n").problems if p.column == "calcium")
    assert "mg/dl" in problem.suggestion


def test_a_required_column_that_is_not_there_is_named() -> None:
    assert any(p.column == "event" for p in found("id,follow_up\n1,5\n").problems)


def test_dates_categories_and_people_entered_twice_are_seen() -> None:
    checked = found(
        "id,baseline_date,follow_up_date,dxa_category,t_score,event,follow_up\n"
        "1,2015-02-30,2020-01-01,normal,-3.1,0,5.1\n"
        "2,2020-01-01,2015-01-01,thin,-1.5,1,5.5\n"
        "3,2020-01-01,2015-01-01,thin,-1.5,1,5.5\n"
    )
    texts = " | ".join(problem.text for problem in checked.problems)
    for words in ("not a date", "earlier than baseline_date", "not one of normal", "WHO rule", "same values"):
        assert words in texts


def test_a_map_renames_converts_and_translates() -> None:
    table = read_table(b"Gewicht;VF;Zeit\n120,5;yes;5,5\n130;no;5,6\n", "f.csv", "comma")
    rules = read_map(
        b'columns:\n  Gewicht: {to: weight, unit: "lb"}\n'
        b"  VF: {to: event, values: {yes: 1, no: 0}}\n  Zeit: follow_up\n",
        "map.yaml",
    )
    mapped, done = apply_map(table, rules)
    assert mapped.columns == ("weight", "event", "follow_up")
    assert mapped.numbers("weight").tolist() == pytest.approx([120.5 * 0.45359237, 130 * 0.45359237])
    assert mapped.numbers("event").tolist() == [1, 0]
    assert len(done) == 4


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (b"columns: {VF: {to: event, values: {yes: 1}}}", "line 3: a word that the map does not translate"),
        (b"columns: {VF: {to: weight, unit: stone}}", "unknown unit"),
        (b"columns: {nothing: x}", "no column 'nothing'"),
        (b"columns: {VF: age}", "already a column"),
        (b"columns: [1]", "not a map"),
        (b"{", "neither YAML nor JSON"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(rules, words) -> None:
    table = read_table(b"VF,age\nyes,1\nno,2\n", "f.csv")
    with pytest.raises(UnusableCohort, match=words):
        apply_map(table, read_map(rules, "map.yaml"))
