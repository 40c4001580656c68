"""Outcomes that arrived, put beside the risks that had been given: is the model calibrated here?"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from vbq.cohort.data.table import Table
from vbq.monitor.observed import Observed
from vbq.monitor.recalibration import Outcomes, Recalibration, Times, cumulative_hazard, fit

DAYS_A_YEAR = 365.25


class Outcome(NamedTuple):
    """What became of a patient: whether she had the event, and the day of the event or of the last look at her."""

    event: bool
    day: dt.date


class Matched(NamedTuple):
    """Outcomes beside predictions, and how many could not be used."""

    people: Outcomes
    without_prediction: int
    before_prediction: int


def read_outcomes(table: Table) -> dict[str, Outcome]:
    """Columns patient (as the events name her, e.g. Patient/p1), event (0 or 1), date (of the event or last look).

    Raises ModelRefused naming lines, never what is in them.
    """
    patients, days, events = table.text("patient"), table.text("date"), table.numbers("event")
    found: dict[str, Outcome] = {}
    for line, patient, day, event in zip(table.lines.tolist(), patients, days, events.tolist(), strict=True):
        if patient is None or day is None or event not in (0.0, 1.0):
            raise _wrong(table, line, "patient, date and event (0 or 1) are all needed; take the line out")
        if patient in found:
            raise _wrong(table, line, "this patient was named before; keep one line per patient")
        try:
            found[patient] = Outcome(event == 1.0, dt.date.fromisoformat(day))
        except ValueError as error:
            raise _wrong(table, line, "the date is not YYYY-MM-DD") from error
    return found


def match(outcomes: Mapping[str, Outcome], predictions: Iterable[tuple[str, Observed]]) -> Matched:
    """The first prediction of each patient beside her outcome; years count from the day of the images."""
    first: dict[str, Observed] = {}
    for patient, row in predictions:
        if row.predictor is not None and (patient not in first or row.day < first[patient].day):
            first[patient] = row
    used = [(first[name], found) for name, found in outcomes.items() if name in first]
    later = [(row, found) for row, found in used if found.day > row.day]
    people = Outcomes(
        np.array([row.predictor for row, _ in later], dtype=np.float64),
        np.array([(found.day - row.day).days / DAYS_A_YEAR for row, found in later], dtype=np.float64),
        np.array([found.event for _, found in later], dtype=np.bool_),
    )
    return Matched(people, len(outcomes) - len(used), len(used) - len(later))


def calibration(model: ModelArtefact, matched: Matched, times: Times) -> tuple[dict[str, Any], Recalibration]:
    """Figures of calibration, by fifths of predicted risk too. Raises ModelRefused for too few outcomes."""
    found = fit(model, matched.people, times, slope=True)
    figures = {
        **found.as_dict(),
        "without_prediction": matched.without_prediction,
        "before_prediction": matched.before_prediction,
        "fifths": fifths(model, matched.people),
    }
    return figures, found


def fifths(model: ModelArtefact, people: Outcomes) -> list[dict[str, float]]:
    """Mean predicted risk by the time of the outcome, and share with the event, in five groups by predictor."""
    order = np.argsort(people.predictor, kind="stable")
    risk = -np.expm1(-cumulative_hazard(model, people.years) * np.exp(people.predictor))
    return [
        {"n": len(some), "predicted": float(risk[some].mean()), "observed": float(people.event[some].mean())}
        for some in np.array_split(order, 5)
        if len(some)
    ]


def _wrong(table: Table, line: int, text: str) -> ModelRefused:
    return ModelRefused(f"{table.source}, {table.place} {line}: {text}", code="outcomes")
