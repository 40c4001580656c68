"""A validation as one page that stands alone: figures inline as SVG, no script."""

import importlib.resources
from collections.abc import Sequence
from typing import Any

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.report.figures import MOST_STEPS, thinned
from vbq.cohort.report.svg import COLOURS, Figure
from vbq.cohort.roc import roc
from vbq.cohort.validation.accuracy import time_dependent_roc
from vbq.cohort.validation.measures import NAMES
from vbq.cohort.validation.people import People
from vbq.cohort.validation.report import Validation

LABELS = {"concordance": "Concordance", "slope": "Calibration slope", "brier": "Brier score", "ipa": "IPA"}
DELTAS = {"delta_concordance": "Concordance", "delta_ipa": "IPA", "delta_brier": "Brier score"}
GROUPS = 10


def validation_page(found: Validation, title: str, made: str) -> str:
    """The page. title: the model's; made: a sentence on version and date."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["fixed"] = lambda value, digits=3: "" if value is None else f"{value:.{digits}f}"
    template = importlib.resources.files("vbq.cohort.validation").joinpath("validation.html")
    document: dict[str, Any] = found.document
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        d=document,
        title=title,
        made=made,
        measures=[(LABELS[name], document[name]) for name in NAMES if isinstance(document.get(name), dict)],
        deltas=[(DELTAS[name], row) for name, row in document.get("comparison", {}).items()],
        figures=[calibration_figure(found), decision_figure(found), *roc_figures(found)],
        warnings=found.warnings,
    )


def calibration_figure(found: Validation) -> str:
    """Smooth curve of observed against predicted risk, and the shares with the event by tenths of risk."""
    c, people = found.calibration, found.people
    top = min(1.0, 1.1 * max(float(c.predicted_curve.max()), float(c.observed_curve.max())))
    keep = thinned(len(c.predicted_curve), MOST_STEPS)
    smooth = pairs(c.predicted_curve[keep], c.observed_curve[keep])
    if people.horizon is None:  # each at a visit of one's own, so that neighbours in risk differ: means of few
        groups = np.array_split(np.argsort(c.predicted_curve, kind="stable"), max(1, min(30, people.data.n // 5)))
        smooth = [(float(c.predicted_curve[some].mean()), float(c.observed_curve[some].mean())) for some in groups]
    figure = Figure("Calibration", "Predicted risk", "Observed risk", (0.0, top), (0.0, top))
    figure.line([(0.0, 0.0), (top, top)], "#999", dashed=True, name="as it should be")
    figure.line(smooth, COLOURS[0], name=f"observed, ICI {c.ici:.3f}")
    if people.horizon is None:  # without censoring a share is a share
        order = np.array_split(np.argsort(people.risk, kind="stable"), GROUPS)
        dots = [(float(people.risk[some].mean()), float(people.event[some].mean())) for some in order if len(some)]
        inside = [(x, y) for x, y in dots if y <= top]
        figure.dots(inside, COLOURS[1], name="tenths of risk")
    return figure.render("lower right")


def decision_figure(found: Validation) -> str:
    """Net benefit of the model, of treating everybody and of treating nobody."""
    curve = found.decision
    t = curve.threshold
    high = 1.1 * max(0.02, float(curve.model.max()), float(curve.everybody.max()))
    low = -high / 4
    shown = curve.everybody >= low
    figure = Figure("Decision curve", "Threshold risk", "Net benefit", (0.0, float(t.max())), (low, high))
    figure.line([(0.0, 0.0), (float(t.max()), 0.0)], "#999", name="nobody")
    figure.line(pairs(t[shown], curve.everybody[shown]), COLOURS[1], dashed=True, name="everybody")
    above = np.maximum(curve.model, low)
    return figure.line(pairs(t, above), COLOURS[0], name="the model").render()


def roc_figures(found: Validation) -> list[str]:
    """One curve per time of the document, and the areas over time where there are several."""
    document: dict[str, Any] = found.document
    areas: list[dict[str, float | None]] = document["auc"]
    figure = Figure("ROC", "1 - specificity", "Sensitivity", (0.0, 1.0), (0.0, 1.0))
    figure.line([(0.0, 0.0), (1.0, 1.0)], "#999", dashed=True)
    for colour, row in zip(COLOURS, areas, strict=False):
        curve = curve_at(found.people, row["time"])
        if curve is not None:
            keep = thinned(len(curve[0]), MOST_STEPS)
            when = "at the visit" if row["time"] is None else f"by {round(row['time'], 2):g}"
            figure.line(pairs(curve[0][keep], curve[1][keep]), colour, name=f"AUC {when}: {row['auc']:.3f}")
    drawn = [figure.render("lower right")]
    timed = [(row["time"], row["auc"]) for row in areas if row["time"] is not None and row["auc"] is not None]
    if len(timed) > 1:
        drawn.append(areas_figure(timed))
    return drawn


def areas_figure(areas: Sequence[tuple[float, float]]) -> str:
    """AUC by time."""
    span = (0.0, 1.05 * max(t for t, _ in areas))
    figure = Figure("Area under the curve over time", "Time", "AUC", span, (0.4, 1.0))
    figure.line([(0.0, 0.5), (span[1], 0.5)], "#999", dashed=True)
    inside = [(t, max(0.4, area)) for t, area in areas]
    return figure.line(inside).dots(inside).render()


def curve_at(people: People, moment: float | None) -> tuple[Floats, Floats] | None:
    """(false positive rate, true positive rate) at a time, at the visit where it is None; None where there is none."""
    if moment is None:
        whole = roc(people.predictor, people.event)
        return whole.false_positive_rate, whole.true_positive_rate
    try:
        return time_dependent_roc(people.predictor, people.time, people.event, moment)
    except NoFit:  # the last event may be the last person
        return None


def pairs(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """Points of two columns (n,)."""
    return list(zip(x.tolist(), y.tolist(), strict=True))
