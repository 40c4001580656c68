"""A plain cohort file beside a model: predictor, years and events of its people, for a local recalibration."""

from dataclasses import dataclass

import numpy as np

from schemas.errors import ModelRefused
from schemas.model import PER_YEAR, ModelArtefact, TimeUnit
from vbq.cohort.artefact import doubt_of_unit
from vbq.cohort.data.dictionary import known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import UnusableCohort
from vbq.cohort.fit import take_data
from vbq.cohort.prediction import columns_for
from vbq.cohort.terms import terms_of
from vbq.cohort.visit_times import look_for_visit_times
from vbq.monitor.recalibration import Outcomes, Times


@dataclass(frozen=True, slots=True)
class Asked:
    """Columns of the file, the unit of its times and whether they are those of visits; None: find out, or as usual."""

    time: str | None = None
    event: str | None = None
    unit: TimeUnit | None = None
    times: Times | None = None


@dataclass(frozen=True, slots=True)
class FromFile:
    """The people with all that is needed, how their times are read, and what must be said of that."""

    people: Outcomes
    times: Times
    notes: tuple[str, ...]


def people_of_file(model: ModelArtefact, table: Table, asked: Asked) -> FromFile:
    """Complete rows of `table` under `model`. Raises UnusableCohort or ModelRefused naming lines, never values."""
    if model.kind == "cox" and not model.servable and "visits, not events" in (model.servable_reason or ""):
        raise ModelRefused(
            f"{model.id} {model.version} has no risk to recalibrate: {model.servable_reason}", code="not-servable"
        )
    time, event = (_column(model, table, given, kind) for given, kind in ((asked.time, "time"), (asked.event, "event")))
    names = columns_for(model, table)
    data = take_data(table, time, event, names)
    _refuse_times(table, time, asked)
    _refuse_impossible(model, table, names)
    X = terms_of(model, names).expand(data.X)
    centre = np.array([row.centre for row in model.covariates])
    beta = np.array([row.coefficient for row in model.covariates])
    visits = look_for_visit_times(data.time, data.event).recognised
    times: Times = asked.times or ("visit" if visits else "exact")
    return FromFile(
        Outcomes((X - centre) @ beta, data.time / PER_YEAR[asked.unit or "years"], data.event),
        times,
        (*([data.left_out] if data.left_out else []), *_said(asked, visits=visits)),
    )


def _said(asked: Asked, *, visits: bool) -> list[str]:
    notes = []
    if asked.unit is None:
        notes.append("the times are taken to be years; say --time-unit to have that in the command")
    if asked.times is None:
        kind = "of the visit that found the event" if visits else "of the event itself"
        notes.append(f"the times look like those {kind}; --times says which they are")
    elif (asked.times == "visit") != visits:
        looks = "those of visits" if visits else "those of the events"
        notes.append(f"the times look like {looks}, and --times {asked.times} was said; it is used")
    return notes


def _column(model: ModelArtefact, table: Table, given: str | None, kind: str) -> str:
    """The column named, that of the training file, or the data dictionary's."""
    trained = model.validation.get(f"fit.{kind}")
    if given is not None:
        table.require([given])
        return given
    if isinstance(trained, str) and trained in table.columns:
        return trained
    wanted = {"time": "follow_up", "event": "event"}[kind]
    for name in table.columns:
        if (column := known(name)) is not None and column.name == wanted:
            return name
    raise UnusableCohort(
        f"{table.source} has no column that is known as {wanted}; name it with --{kind}. "
        f"Its columns are {', '.join(table.columns)}"
    )


def _refuse_times(table: Table, time: str, asked: Asked) -> None:
    values = table.numbers(time)
    zero = np.flatnonzero(values <= 0)
    if len(zero):
        raise UnusableCohort(
            f"{table.source}, column '{time}', {table.where(zero)}: no follow-up; take those rows out, or correct them"
        )
    if (doubt := doubt_of_unit(float(np.nanmax(values)), asked.unit)) is not None:
        raise UnusableCohort(f"{table.source}, column '{time}': {doubt}")


def _refuse_impossible(model: ModelArtefact, table: Table, names: list[str]) -> None:
    """Values that the model would refuse to score are in another unit, or wrong."""
    if len(names) != len(model.covariates):
        return  # splines: several covariates to a column
    for name, row in zip(names, model.covariates, strict=True):
        values, span = table.numbers(name), row.physiological
        if span == row.training:  # no range of its own: the column is not in the data dictionary
            continue
        outside = np.flatnonzero((values < span.low) | (values > span.high))
        if len(outside):
            unit = f" {row.unit}" if row.unit not in {"", "1"} else ""
            raise UnusableCohort(
                f"{table.source}, column '{name}', {table.where(outside)}: outside {span.low:g} to {span.high:g}{unit},"
                " where the model refuses to answer; correct those cells, or convert the unit with a --map file"
            )
