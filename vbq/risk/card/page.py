"""The card as HTML: its body for the service's page, and a whole file that needs nothing else."""

import datetime as dt
import importlib.resources
import math
from collections.abc import Mapping
from typing import Any

from schemas.model import ModelArtefact
from schemas.registry import Stage
from vbq.risk.card.attributes import attributes_of
from vbq.risk.card.evidence import SIZE, plots
from vbq.risk.card.figures import curves, examples, forest, ratios, signed
from vbq.risk.card.tripod import items


def body(model: ModelArtefact, *, digest: str, today: dt.date, software: str, stage: Stage | None = None) -> str:
    """The card's sections, escaped. `stage`: where the model stands at this site, if anywhere."""
    rows = ratios(model)
    return _render(
        "body.html",
        model=_with_survival(model),
        digest=digest,
        stage=stage,
        ratios=rows,
        forest=forest(rows),
        curves=curves(model),
        examples=examples(model),
        plots=plots(model),
        plot_size=SIZE,
        validation={name: value for name, value in model.validation.items() if not isinstance(value, list)},
        tripod=items(model),
        attributes=attributes_of(model),
        expired=model.expires is not None and model.expires < today,
        software=software,
    )


def whole(model: ModelArtefact, *, digest: str, today: dt.date, software: str, stage: Stage | None = None) -> str:
    """The card as a file: no script, nothing loaded from elsewhere."""
    import markupsafe

    css = importlib.resources.files("vbq.risk.card").joinpath("card.css").read_text(encoding="utf-8")
    style = markupsafe.Markup(css)  # noqa: S704 - the package's own file
    inside = body(model, digest=digest, today=today, software=software, stage=stage)
    escaped = markupsafe.Markup(inside)  # noqa: S704 - rendered with autoescape just before
    return _render("frame.html", title=model.title, style=style, body=escaped)


def fixed(value: float, digits: int) -> str:
    """With `digits` decimals."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A probability as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def _with_survival(model: ModelArtefact) -> Mapping[str, Any]:
    """The model as the template reads it: its fields, and the survival at each point of the baseline."""
    points = [{"time": row.time, "survival": math.exp(-row.cumulative_hazard)} for row in model.baseline.points]
    baseline = {"form": model.baseline.form, "support": model.baseline.support, "points": points}
    return {**dict(model), "baseline": baseline}


def _render(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(number=signed, fixed=fixed, percent=percent)
    source = importlib.resources.files("vbq.risk.card").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(**values)
