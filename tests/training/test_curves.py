"""The picture of a training."""

from pathlib import Path

from training.curves import draw, read


def test_the_curves_of_a_log_are_drawn_the_same_twice(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,minutes,loss,dice_disc,spider_disc\n500,9.1,0.6,0.7,0.8\n1000,18.3,0.4,0.8,0.85\n")
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(read(log), first)
    draw(read(log), second)
    assert first.read_bytes() == second.read_bytes()
    assert b"<svg" in first.read_bytes()
