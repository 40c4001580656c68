"""From inputs to a risk with its interval, in plain Python. The formulas stand in schemas/model.py.

No input is ever guessed: what is missing, not a number, in another unit or beyond physiology is refused by name.
"""

import datetime as dt
import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from schemas.assessment import Risk, RiskClass
from schemas.errors import ModelRefused
from schemas.measurement import Reason
from schemas.model import PER_YEAR, Baseline, Covariate, ModelArtefact, RiskThresholds, TimeUnit

LEVEL = 0.95
_Z = 1.959963984540054  # normal quantile of (1 + LEVEL) / 2
_TIME_TOLERANCE = 1e-9
_NEGATIVE_BY_ROUNDING = -1e-12


class Quantity(Protocol):
    """A value and the UCUM unit that it is stated in; schemas.clinical.ClinicalInput is one."""

    @property
    def value(self) -> float | bool | str: ...

    @property
    def unit(self) -> str: ...


class Stated(NamedTuple):
    """The smallest Quantity."""

    value: float | bool | str
    unit: str


class InputProblem(NamedTuple):
    """Why the model refuses an input. `text` names the input and holds no value."""

    name: str
    code: str
    text: str


class Prediction(NamedTuple):
    """Probability (0-1) of the outcome within the horizon, its interval, and what to say beside it."""

    horizon_years: float
    risk: float
    lower: float
    upper: float
    flags: tuple[Reason, ...]


def input_problems(model: ModelArtefact, inputs: Mapping[str, Quantity]) -> list[InputProblem]:
    """What keeps `model` from being asked about `inputs`, one row per covariate in the model's order."""
    found = (_number(covariate, inputs.get(covariate.name)) for covariate in model.covariates)
    return [row for row in found if isinstance(row, InputProblem)]


class Scorer:
    """A model at one horizon (in years), unpacked for many patients: a few microseconds each.

    Raises ModelRefused when made as `predict` does for a model or a horizon, and when called for an input.
    """

    __slots__ = ("_covariance", "_covariates", "_hazard", "_log_scale", "_model", "_rows", "_var_log", "years")

    def __init__(self, model: ModelArtefact, horizon: float | None = None, *, on: dt.date | None = None) -> None:
        refuse_unusable(model, on)
        per_year = PER_YEAR[model.time_unit]
        time = model.horizon if horizon is None else horizon * per_year
        self.years = time / per_year
        self._hazard, variance, mean = baseline_at(model.baseline, time, model.time_unit)
        self._model = model.id
        self._log_scale = model.interval == "log-log"
        # z - m / H0 = x - (centre + m / H0): d of schemas/model.py
        self._rows = tuple(
            (place, c.name, c.unit, *_spans(c), c.centre, c.coefficient, m / self._hazard)
            for place, (c, m) in enumerate(zip(model.covariates, mean, strict=True))
        )
        self._covariates = tuple(model.covariates)
        self._covariance = _triangle(model.covariance)
        self._var_log = variance / (self._hazard * self._hazard)

    def __call__(self, inputs: Mapping[str, Quantity]) -> Prediction:
        """The prediction for one patient."""
        log_ratio = 0.0
        d = []
        flags: list[Reason] = []
        for place, name, unit, low, high, usual_low, usual_high, centre, beta, shift in self._rows:
            given = inputs.get(name)
            x = given.value if given is not None and given.unit == unit else None
            # what is not plainly right takes the slow way, which tells what is wrong
            if type(x) is not float or not low <= x <= high:
                x = self._checked(place, given)
            if not usual_low <= x <= usual_high:
                flags.append(_outside_training(self._covariates[place].label, usual_low, usual_high))
            z = x - centre
            log_ratio += beta * z
            d.append(z - shift)
        var_log = self._var_log
        for i, j, v in self._covariance:
            var_log += v * d[i] * d[j]
        try:
            return Prediction(self.years, *self._limits(self._hazard * math.exp(log_ratio), var_log), tuple(flags))
        except OverflowError as error:
            raise ModelRefused("the model's numbers overflow for these inputs; check its coefficients") from error

    def _checked(self, place: int, given: Quantity | None) -> float:
        found = _number(self._covariates[place], given)
        if isinstance(found, InputProblem):
            raise ModelRefused(found.text, code=found.code)
        return found

    def _limits(self, hazard: float, var_log: float) -> tuple[float, float, float]:
        if var_log < 0.0:
            if var_log < _NEGATIVE_BY_ROUNDING:
                raise ModelRefused(f"the covariance of model {self._model} is not one: it gives a negative variance")
            var_log = 0.0
        wide = _Z * math.sqrt(var_log)
        if self._log_scale:
            low, high = hazard * math.exp(-wide), hazard * math.exp(wide)
        else:
            low, high = max(0.0, hazard * (1.0 - wide)), hazard * (1.0 + wide)
        # 1 - exp(-H) without losing digits where H is small
        return -math.expm1(-hazard), -math.expm1(-low), -math.expm1(-high)


def predict(
    model: ModelArtefact,
    inputs: Mapping[str, Quantity],
    horizon: float | None = None,
    *,
    on: dt.date | None = None,
) -> Prediction:
    """The risk within `horizon` years (the model's own where None). `on`: the day of asking, for the expiry.

    Raises ModelRefused: the model must not be served or has expired, the horizon lies outside its support, or an
    input is missing, not a number, in another unit, or outside the physiological range.
    """
    return Scorer(model, horizon, on=on)(inputs)


def score(
    model: ModelArtefact,
    inputs: Mapping[str, Quantity],
    horizon: float | None = None,
    *,
    on: dt.date | None = None,
) -> Risk:
    """`predict` as the record that an assessment holds, with the word for it.

    Raises ModelRefused as `predict` does, and where the model names no thresholds for low, moderate and high.
    """
    if model.thresholds is None:
        raise ModelRefused(f"model {model.id} names no thresholds for low, moderate and high; add `thresholds`")
    found = predict(model, inputs, horizon, on=on)
    return Risk(
        horizon_years=found.horizon_years,
        risk=found.risk,
        lower=found.lower,
        upper=found.upper,
        level=LEVEL,
        risk_class=risk_class(found.risk, model.thresholds),
        flags=list(found.flags),
    )


def risk_class(risk: float, thresholds: RiskThresholds) -> RiskClass:
    """The word for `risk`; for display only."""
    if risk >= thresholds.high:
        return "high"
    return "moderate" if risk >= thresholds.moderate else "low"


def refuse_unusable(model: ModelArtefact, on: dt.date | None) -> None:
    """Raises ModelRefused where `model` must not be asked at all, or no longer on the day `on`."""
    if not model.servable:
        reason = model.servable_reason or "the fit says so and gives no reason"
        raise ModelRefused(f"model {model.id} must not be served as a risk: {reason}", code="model-not-servable")
    if on is not None and model.expires is not None and on > model.expires:
        raise ModelRefused(
            f"model {model.id} {model.version} expired on {model.expires}; deploy a newer one", code="model-expired"
        )


def baseline_at(baseline: Baseline, time: float, unit: TimeUnit = "years") -> tuple[float, float, list[float]]:
    """(H0, its variance, m) at `time`, in the model's unit.

    Raises ModelRefused outside the support or where H0 is zero there.
    """
    support = baseline.support
    if not (math.isfinite(time) and support.low - _TIME_TOLERANCE <= time <= support.high + _TIME_TOLERANCE):
        span = f"{support.low:g}" if support.low == support.high else f"{support.low:g} to {support.high:g}"
        raise ModelRefused(f"the model answers for {span} {unit} only; ask for such a horizon", code="horizon")
    if baseline.form == "linear":
        point = baseline.points[0]
        grow = time / point.time
        found = point.cumulative_hazard * grow, point.variance * grow * grow, [m * grow for m in point.mean]
    elif baseline.form == "points":
        exact = [row for row in baseline.points if abs(row.time - time) <= _TIME_TOLERANCE]
        if not exact:
            known = ", ".join(f"{row.time:g}" for row in baseline.points)
            raise ModelRefused(f"the model is defined at {known} {unit} only; ask for one of them", code="horizon")
        found = exact[0].cumulative_hazard, exact[0].variance, exact[0].mean
    else:
        before = [row for row in baseline.points if row.time <= time + _TIME_TOLERANCE]
        last = max(before, key=lambda row: row.time, default=None)
        found = (last.cumulative_hazard, last.variance, last.mean) if last else (0.0, 0.0, [])
    if found[0] <= 0.0:
        raise ModelRefused(
            "the model saw no event up to this horizon, so it would call everybody safe; ask for a later one",
            code="horizon",
        )
    return found


def _number(covariate: Covariate, given: Quantity | None) -> float | InputProblem:
    """The value of `given` as a number in the covariate's unit, or why the model refuses it."""
    name, label = covariate.name, covariate.label
    if given is None:
        return InputProblem(name, "input-missing", f"{label} is missing")
    value = given.value
    if isinstance(value, str) or (isinstance(value, bool) and covariate.kind != "binary"):
        return InputProblem(name, "input-not-a-number", f"{label} is not a number")
    if given.unit != covariate.unit:
        wanted = covariate.unit or "no unit"
        return InputProblem(name, "input-unit", f"{label} must be stated in {wanted}, and it is not")
    if covariate.kind == "binary" and value not in (0, 1):
        return InputProblem(name, "input-not-a-number", f"{label} must be yes or no")
    span = covariate.physiological
    if not span.low <= value <= span.high:  # NaN fails this comparison as well
        text = f"{label} is not within {span.low:g} to {span.high:g}, where the model may be asked"
        return InputProblem(name, "input-out-of-range", text)
    return float(value)


def _outside_training(label: str, low: float, high: float) -> Reason:
    text = f"{label} lies outside the range of the data that the model was made from ({low:g} to {high:g})."
    return Reason(code="outside-training-range", text=text)


def _spans(covariate: Covariate) -> tuple[float, float, float, float]:
    """Physiological low and high, training low and high (everything where the model names no training range).

    Yes and no go through `_number`, which alone knows that nothing lies between them: their first span is empty.
    """
    body, data = covariate.physiological, covariate.training
    usual = (data.low, data.high) if data else (-math.inf, math.inf)
    if covariate.kind == "binary":
        return math.inf, -math.inf, *usual
    return body.low, body.high, *usual


def _triangle(covariance: list[list[float]]) -> tuple[tuple[int, int, float], ...]:
    """(i, j, v) so that the sum of v d_i d_j is d' V d; off-diagonal pairs are taken together."""
    rows = enumerate(covariance)
    return tuple(
        (i, j, row[j] if i == j else row[j] + covariance[j][i]) for i, row in rows for j in range(i, len(covariance))
    )
