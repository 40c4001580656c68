"""Tables that a benchmark writes into the documentation."""

from pathlib import Path

import pytest
from rich.table import Table

from benchmarks import chaos, recovery
from benchmarks.pages import put_table


def table_of(*cells: str) -> Table:
    table = Table("fault", "s")
    table.add_row(*cells)
    return table


def test_a_table_takes_the_place_of_the_one_before_and_of_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\n<!-- /a -->\nafter\n")
    put_table(page, "a", table_of("old", "1.0"))
    put_table(page, "a", table_of("new", "2.0"))
    rows = "| fault | s |\n| --- | --- |\n| new | 2.0 |\n"
    assert page.read_text() == f"before\n<!-- a -->\n{rows}<!-- /a -->\nafter\n"
    with pytest.raises(ValueError, match="has no place for the table b"):
        put_table(page, "b", table_of("x", "y"))


@pytest.mark.parametrize("name", ["chaos", "chaos-recovery", "recovery"])
def test_the_page_has_places_for_the_tables(name: str) -> None:
    page = recovery.PAGE.read_text()
    assert page.count(f"<!-- {name} -->\n") == page.count(f"<!-- /{name} -->") == 1


def test_what_took_too_long_is_counted() -> None:
    row = {"database": "sqlite", "fault": "x", "load": 1.0, "new_seconds": 3.0, "held_seconds": None}
    assert recovery.show([row, {**row, "held_seconds": 15.5}])[1] == 1


def test_outcomes_of_several_runs_are_summed() -> None:
    one = vars(chaos.Outcome("sqlite", accepted=10, done=10, seconds=60.0, recovery={"x": [1.0, 2.0]}))
    sums, times = chaos.tables([one, one])
    assert [next(iter(column.cells)) for column in sums.columns][:5] == ["sqlite", "2", "2.0", "20", "20"]
    assert [next(iter(column.cells)) for column in times.columns] == ["x", "4", "1.5", "2.0"]
