"""The gate's table: continued where it was stopped, and it tells what is wrong without a word."""

from pathlib import Path

import pytest

from benchmarks import gates
from benchmarks.gate_cases import CASES
from benchmarks.gates import Result, result_of, row_of, run, table
from benchmarks.rows import add_row, made_by, read_rows

TWO = list(CASES[:2])


def result(case: str, seed: int, **given: object) -> Result:
    plain = {"outcome": "plain", "codes": (), "error": 0.01, "shifted": False}
    return Result(case=case, seed=seed, **(plain | given))  # type: ignore[arg-type]  # fields of every type


@pytest.mark.parametrize(
    "one",
    [
        result("nothing", 5),
        result("nothing", 5, outcome="confirm", codes=("listhesis", "metal-suspected"), error=None, shifted=True),
    ],
)
def test_a_result_comes_back_from_its_row(one: Result, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    add_row(path, row_of(one))
    assert [result_of(row) for row in read_rows(path, made_by())] == [one]


def test_what_was_done_is_not_done_again_and_other_conditions_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    for case in TWO:
        for seed in (8, 7):
            add_row(path, row_of(result(case.name, seed)))
    add_row(path, row_of(result(TWO[0].name, 1)))
    monkeypatch.setattr(gates, "results", None)  # would be called for a missing study
    assert [one.seed for one in run(TWO[:1], range(7, 9), path, 1)] == [7, 8]
    assert len(read_rows(path, made_by())) == 4


def test_a_wrong_level_that_nobody_is_asked_about_is_told() -> None:
    name = TWO[0].name
    found = [result(name, 1), result(name, 2, shifted=True), result(name, 3, shifted=True, outcome="confirm")]
    text = table([*found, result(name, 4, error=0.12), result(name, 5, error=0.12, outcome="flagged")], TWO)
    assert f"Of 5 studies 2 came out wrong without a word ({name})" in text


def test_what_a_condition_does_not_allow_is_counted() -> None:
    sacralised = next(case for case in CASES if case.name == "sacralised L5")
    text = table([result("sacralised L5", 1), result("sacralised L5", 2, outcome="confirm")], [sacralised])
    assert "1 came out otherwise" in text
