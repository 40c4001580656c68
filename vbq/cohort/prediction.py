"""Survival of many people from a model file alone; the artefact is data, so this needs no fit."""

from collections.abc import Sequence

import numpy as np

from schemas.model import BaselinePoint, ModelArtefact
from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.data.dictionary import known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import NoFit, UnusableCohort
from vbq.cohort.survival.baseline import BaselineHazard, Curves, survival_curves
from vbq.cohort.terms import KNOTS, terms_of


def columns_for(model: ModelArtefact, table: Table) -> list[str]:
    """The table's column for each covariate: the name in the model, in the training file, or an alias of it."""
    names = [covariate.name for covariate in model.covariates]
    trained = str(model.validation.get("fit.columns") or "").split(",")
    bent = len(trained) < len(names) and any(key.startswith(KNOTS) for key in model.validation)
    pairs = [(name, name) for name in trained] if bent else list(zip(names, names, strict=True))
    if len(trained) == len(names):
        pairs = list(zip(trained, names, strict=True))
    found, absent = [], []
    by_served = {column.served: name for name in table.columns if (column := known(name)) and column.served}
    for column_name, served_name in pairs:
        choices = [choice for choice in (column_name, served_name) if choice in table.columns]
        served = [by_served[key] for key in by_served if key == served_name]
        if choices or served:
            found.append((choices or served)[0])
        else:
            absent.append(column_name)
    if absent:
        table.require(absent)
    return found


def complete_matrix(model: ModelArtefact, table: Table) -> Floats:
    """(n, p) covariates of every row, splines computed. Raises UnusableCohort naming the lines with missing values."""
    names = columns_for(model, table)
    X = table.matrix(names)
    for name, column in zip(names, X.T, strict=True):
        gaps = np.flatnonzero(np.isnan(column))
        if len(gaps):
            raise UnusableCohort(
                f"{table.source}, column '{name}', {table.where(gaps)}: missing; a risk needs every covariate, "
                "so fill the cell or take the row out (or call with --incomplete blank)"
            )
    return terms_of(model, names).expand(X)


def curves_of(model: ModelArtefact, X: Floats, times: Sequence[float] | Floats) -> Curves:
    """Survival with 95 % limits of X (r, p) at `times`, from the artefact alone. Raises NoFit outside the support."""
    asked = np.asarray(times, dtype=np.float64)
    support = model.baseline.support
    if not np.isfinite(asked).all() or (asked < support.low).any() or (asked > support.high).any():
        raise NoFit(
            f"a time asked for lies outside {support.low:g} to {support.high:g}, where the model can answer; "
            "ask for a time within it"
        )
    points = sorted(model.baseline.points, key=lambda point: point.time)
    if model.baseline.form == "points" and not np.isin(asked, [point.time for point in points]).all():
        raise NoFit(
            f"the model answers at {', '.join(f'{point.time:g}' for point in points)} alone; ask for one of them"
        )
    first = points[0]
    grid, source = ([point.time for point in points], points)
    if model.baseline.form == "linear":
        grid = sorted({float(t) for t in asked if t > 0})
        source = [_grown(first, t / first.time) for t in grid]
    baseline = BaselineHazard(
        time=np.array(grid),
        hazard=np.array([point.cumulative_hazard for point in source]),
        variance=np.array([point.variance for point in source]),
        mean=np.array([point.mean for point in source]).reshape(len(source), len(model.covariates)),
    )
    centre = np.array([covariate.centre for covariate in model.covariates])
    coefficients = np.array([covariate.coefficient for covariate in model.covariates])
    return survival_curves(baseline, X - centre, coefficients, np.array(model.covariance), asked, scale=model.interval)


def _grown(point: BaselinePoint, grow: float) -> BaselinePoint:
    return point.but(
        time=point.time * grow,
        cumulative_hazard=point.cumulative_hazard * grow,
        variance=point.variance * grow**2,
        mean=[value * grow for value in point.mean],
    )


def predictions_csv(
    model: ModelArtefact,
    table: Table,
    times: Sequence[float],
    blank_incomplete: bool = False,
    *,
    per_unit: float = 1.0,
) -> tuple[str, int, int]:
    """(CSV with columns row,time,survival,lower,upper; rows; rows left blank). Rows count from 0. `per_unit`: how many
    of the model's time unit one of `times` has, which are written as given.

    Raises NoFit where the artefact says that its times are visits, and outside its support.
    """
    if not model.servable and model.kind == "cox" and "visits, not events" in (model.servable_reason or ""):
        raise NoFit(f"no risk can be read from model {model.id}: {model.servable_reason}")
    names = columns_for(model, table)
    X = terms_of(model, names).expand(table.matrix(names)) if blank_incomplete else complete_matrix(model, table)
    whole: Bools = np.asarray(~np.isnan(X).any(axis=1), dtype=np.bool_)
    curves = curves_of(model, X[whole], [time * per_unit for time in times])
    t = len(times)
    cells = np.full((len(X), t, 3), np.nan)
    cells[whole] = np.stack([curves.survival, curves.lower, curves.upper], axis=2)
    lines = ["row,time,survival,lower,upper"]
    shown = [repr(float(time)) for time in times]
    for row, block in enumerate(cells.tolist()):
        for time, (s, low, high) in zip(shown, block, strict=True):
            lines.append(f"{row},{time},{s!r},{low!r},{high!r}" if whole[row] else f"{row},{time},,,")
    return "\n".join(lines) + "\n", len(X), int((~whole).sum())
