"""The picture of a training."""

from pathlib import Path

import pytest

from training.curves import draw, read, still_rising


def test_the_curves_of_a_log_are_drawn_the_same_twice(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,minutes,loss,dice_disc,spider_disc\n500,9.1,0.6,0.7,0.8\n1000,18.3,0.4,0.8,0.85\n")
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(read(log), first)
    draw(read(log), second)
    assert first.read_bytes() == second.read_bytes()
    assert b"<svg" in first.read_bytes()


def row(step: int, rate: float, dice: float) -> dict[str, str]:
    return {"step": str(step), "rate": str(rate), "loss": "0.3", "dice_csf": str(dice), "spider_disc": ""}


def test_what_still_rises_before_the_cool_down_is_told_per_thousand_steps() -> None:
    rising = [row(step, 0.002, 0.7 + step / 1e5) for step in range(500, 3500, 500)]
    slopes = still_rising([*rising, row(3500, 0.001, 0.99), row(4000, 0.0, 1.0)])
    assert slopes == {"dice_csf": pytest.approx(0.01)}


def test_a_plateau_has_no_slope_and_two_rows_tell_nothing() -> None:
    flat = [row(step, 0.002, 0.8) for step in range(500, 3500, 500)]
    assert still_rising(flat) == {"dice_csf": pytest.approx(0.0)}
    assert still_rising(flat[:2]) == {}
    assert still_rising([]) == {}
