"""Draw the training's curves: `python -m training.curves docs/training/log.csv docs/training/curves.svg`.

Also prints how fast Dice still rose before the rate was cooled down: at a plateau that is about nothing.
"""

import csv
import sys
from pathlib import Path

Rows = list[dict[str, str]]


def read(log: Path) -> Rows:
    """The rows of the log, oldest first."""
    with log.open(newline="") as lines:
        return list(csv.DictReader(lines))


def draw(rows: Rows, target: Path) -> None:
    """Loss, Dice on drawn slices and Dice on held-back SPIDER slices over steps, as an SVG that does not change."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "vbq"
    steps = [int(row["step"]) for row in rows]
    figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    groups = {"training loss": "loss", "Dice, drawn slices": "dice_", "Dice, SPIDER people held back (T2)": "spider_"}
    for panel, (title, prefix) in zip(panels, groups.items(), strict=True):
        for name in (name for name in rows[0] if name.startswith(prefix)):
            shown = [(step, float(row[name])) for step, row in zip(steps, rows, strict=True) if row[name]]
            label = name.removeprefix(prefix).replace("_", " ") or name
            panel.plot(*zip(*shown, strict=True), marker=".", markersize=3, linewidth=1, label=label)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step of 8 crops")
        panel.grid(linewidth=0.3)
        panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=3)  # below: it hides no curve
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def still_rising(rows: Rows) -> dict[str, float]:
    """Change of each Dice per 1,000 steps over the last third of the steps at the full rate, by a straight line.

    Empty where fewer than three rows lie there. Rows of a lower rate (warm-up, cool-down) do not count.
    """
    top = max((float(row["rate"]) for row in rows), default=0.0)
    full = [row for row in rows if float(row["rate"]) >= 0.95 * top]
    late = [row for row in full if int(row["step"]) >= 2 * int(full[-1]["step"]) / 3]
    if len(late) < 3:
        return {}
    steps = [int(row["step"]) / 1000 for row in late]
    middle = sum(steps) / len(steps)
    spread = sum((step - middle) ** 2 for step in steps)
    names = [name for name in late[0] if name.startswith(("dice_", "spider_")) and all(row[name] for row in late)]
    return {
        name: sum((step - middle) * float(row[name]) for step, row in zip(steps, late, strict=True)) / spread
        for name in names
    }


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    rows = read(Path(arguments[0]))
    draw(rows, Path(arguments[1]))
    for name, slope in still_rising(rows).items():
        print(f"{name} {slope:+.4f} per 1,000 steps before the cool-down")


if __name__ == "__main__":
    main(sys.argv[1:])
