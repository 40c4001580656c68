"""Rows of a long run: kept one by one, continued by the same make alone."""

from pathlib import Path

import pytest

from benchmarks import accuracy
from benchmarks.rows import MADE_BY, add_row, made_by, read_rows, write_rows


def test_rows_are_there_as_soon_as_they_are_added(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.csv"
    for seed in (2, 1):
        add_row(path, {"seed": seed, "value": 1 / 3, MADE_BY: "this"})
    assert [(row["seed"], row["value"]) for row in read_rows(path, "this")] == [("2", "0.33333"), ("1", "0.33333")]


def test_rows_of_another_make_or_without_one_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    add_row(path, {"seed": 1, MADE_BY: "older"})
    add_row(path, {"seed": 2, MADE_BY: "this"})
    assert [row["seed"] for row in read_rows(path, "this")] == ["2"]
    path.write_text("seed,value\n1,2\n", encoding="utf-8")
    assert read_rows(path, "this") == []


def test_the_make_names_algorithm_and_weights() -> None:
    name, version, weights = made_by().split()
    assert name == "vbq-automatic"
    assert version[0].isdigit()
    assert len(weights) == 8


def test_a_run_that_is_complete_measures_nothing_and_drops_other_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    write_rows(path, [{"seed": seed, MADE_BY: made_by()} for seed in (12, 11, 99)])
    monkeypatch.setattr(accuracy, "measured_rows", None)  # would be called for a missing seed
    rows = accuracy.run(range(11, 13), path, None, 1)
    assert [row["seed"] for row in rows] == ["11", "12"]
    assert [row["seed"] for row in read_rows(path, made_by())] == ["11", "12"]
