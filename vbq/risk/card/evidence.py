"""Curves of validation that a model's file carries: calibration and ROC, as coordinates for the card."""

from typing import Any, NamedTuple

from schemas.model import ModelArtefact

KINDS = (("internal", "In the training data"), ("external", "In other data"))
SIZE, LEFT, TOP = 280.0, 46.0, 14.0


class Plot(NamedTuple):
    """A square plot: SVG coordinates of its line, tick labels, and what to write beside it."""

    title: str
    x_label: str
    y_label: str
    points: str
    ticks: list[dict[str, Any]]
    caption: str


def plots(model: ModelArtefact) -> list[Plot]:
    """What there is to draw; empty where the file carries no curves."""
    found = []
    for kind, words in KINDS:
        predicted, observed = (numbers(model, f"{kind}.calibration.{name}") for name in ("predicted", "observed"))
        if predicted and len(predicted) == len(observed):
            text = f"{words}: calibration" + figure(model, f"{kind}.calibration.ici", ", ICI {:.3f}")
            top = min(1.0, 1.05 * max(*predicted, *observed))
            found.append(_plot(text, "Predicted risk", "Observed share", (predicted, observed), top))
        false, true = (numbers(model, f"{kind}.roc.{name}") for name in ("false_positive", "true_positive"))
        if false and len(false) == len(true):
            area = figure(model, f"{kind}.roc.auc", ", AUC {:.3f}")
            limits = figure(model, f"{kind}.roc.lower", " ({:.3f}") + figure(model, f"{kind}.roc.upper", " to {:.3f})")
            found.append(_plot(f"{words}: ROC{area}{limits}", "1 - specificity", "Sensitivity", (false, true), 1.0))
    return found


def numbers(model: ModelArtefact, name: str) -> list[float]:
    """A list of the file's validation; empty where it is not one."""
    value = model.validation.get(name)
    return value if isinstance(value, list) else []


def figure(model: ModelArtefact, name: str, template: str) -> str:
    """A number of the file's validation in words; empty where there is none."""
    value = model.validation.get(name)
    return template.format(value) if isinstance(value, float | int) else ""


def _plot(title: str, x_label: str, y_label: str, curve: tuple[list[float], list[float]], top: float) -> Plot:
    def across(value: float) -> float:
        return round(LEFT + value / top * SIZE, 1)

    def down(value: float) -> float:
        return round(TOP + SIZE - value / top * SIZE, 1)

    pairs = " ".join(f"{across(a)},{down(min(max(b, 0.0), top))}" for a, b in zip(*curve, strict=True))
    ticks = [{"x": across(top * k / 4), "y": down(top * k / 4), "text": f"{100 * top * k / 4:.0f} %"} for k in range(5)]
    meaning = "chance" if "ROC" in title else "agreement"
    return Plot(title, x_label, y_label, pairs, ticks, f"The dashed line is {meaning}.")
