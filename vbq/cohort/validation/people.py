"""A model asked about people whose outcome is known: their predictor, their risk, and what happened."""

from dataclasses import dataclass, replace

import numpy as np

from schemas.model import ModelArtefact
from vbq.cohort.arrays import Bools, Floats, Ints
from vbq.cohort.data.table import Table
from vbq.cohort.errors import NoFit, UnusableCohort
from vbq.cohort.fit import Data, take_data
from vbq.cohort.prediction import columns_for, curves_of
from vbq.cohort.terms import terms_of
from vbq.cohort.visit_times import look_for_visit_times


@dataclass(frozen=True, slots=True)
class People:
    """n people. horizon None: each was seen once, and `risk` is that of having the event by one's own visit."""

    data: Data
    predictor: Floats
    risk: Floats
    horizon: float | None

    @property
    def time(self) -> Floats:
        return self.data.time

    @property
    def event(self) -> Bools:
        return self.data.event

    def rows(self, index: Ints | Bools) -> "People":
        """The same model on some of the people, or on a resample of them."""
        d = self.data
        return People(
            Data(d.X[index], d.time[index], d.event[index], d.kept, d.left_out),
            self.predictor[index],
            self.risk[index],
            self.horizon,
        )


def outcome_columns(model: ModelArtefact, time: str | None, event: str | None) -> tuple[str, str]:
    """Columns of time and event: those named, else those of the training file."""
    found = [given or model.validation.get(key) for given, key in ((time, "fit.time"), (event, "fit.event"))]
    if not all(isinstance(name, str) and name for name in found):
        raise UnusableCohort(
            f"model {model.id} does not say which columns hold time and event; name them with --time and --event"
        )
    return str(found[0]), str(found[1])


def choose_horizon(model: ModelArtefact, data: Data, asked: float | None) -> float:
    """The horizon asked for; else the model's, where events and people beyond it exist; else the median event time."""

    def informative(t: float) -> bool:
        first = min(point.time for point in model.baseline.points)
        seen = bool((data.event & (data.time <= t)).any() and (data.time > t).any())
        return seen and (model.baseline.form != "steps" or first <= t) and t <= model.baseline.support.high

    if asked is not None:
        if not informative(asked):
            raise NoFit(f"at {asked:g} the file has no events yet or nobody left; ask for another --horizon")
        return asked
    if model.baseline.form == "points":
        times = [point.time for point in model.baseline.points if informative(point.time)]
        if not times:
            raise NoFit("the file has no events by, or nobody beyond, a time at which this model answers")
        return times[-1]
    middle = float(np.median(data.time[data.event])) if data.event.any() else model.horizon
    return model.horizon if informative(model.horizon) else middle


def people_of(
    model: ModelArtefact,
    table: Table,
    *,
    time: str | None = None,
    event: str | None = None,
    horizon: float | None = None,
) -> People:
    """Everybody in the file with all of time, event and covariates."""
    names = columns_for(model, table)
    data = take_data(table, *outcome_columns(model, time, event), names)
    data = replace(data, X=terms_of(model, names).expand(data.X))
    if data.event.all() or not data.event.any():
        raise NoFit("the file holds only people with, or only people without the event; validation needs both")
    coefficients = np.array([covariate.coefficient for covariate in model.covariates])
    centre = np.array([covariate.centre for covariate in model.covariates])
    predictor: Floats = (data.X - centre) @ coefficients
    if model.kind != "cox" and look_for_visit_times(data.time, data.event).recognised:
        return People(data, predictor, _risk_at_visit(model, predictor, data.time), None)
    at = choose_horizon(model, data, horizon)
    risk = 1 - curves_of(model, data.X, [at]).survival[:, 0]
    return People(data, predictor, risk, at)


def _risk_at_visit(model: ModelArtefact, predictor: Floats, time: Floats) -> Floats:
    """Under a constant hazard, which current-status fits assume and the published model was calibrated with."""
    point = model.baseline.points[-1]
    risk: Floats = -np.expm1(-point.cumulative_hazard * time / point.time * np.exp(predictor))
    return risk
