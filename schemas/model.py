"""A served model is data: coefficients, covariance, baseline, population, provenance. Never code.

How a risk and its interval follow (vbq/risk/score.py), with z = x - centre for each covariate:

    H(t | x) = H0(t) exp(beta' z)                    risk = 1 - exp(-H)
    var[log H] = v(t) / H0(t)^2 + d' V d,            d = z - m(t) / H0(t)

V is the covariance of beta, v(t) the variance of H0(t) and m(t) the weighted covariate mean that accumulates with it.
These are exactly the pieces of R's survfit.coxph; a published model without individual data has m = 0, and a
current-status model folds the covariance between intercept and coefficients into m. The interval is symmetric on the
scale named by `interval`: "log" (R's default: of log S) or "log-log" (of log H).
"""

import datetime as dt
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.record import Record

SCHEMA_VERSION = 1
TimeUnit = Literal["years", "months", "days"]
PER_YEAR: Final[dict[TimeUnit, float]] = {"years": 1.0, "months": 12.0, "days": 365.25}


class Span(Record):
    """A closed range."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.high:
            raise ValueError("low must not be above high")
        return self


class Covariate(Record):
    """One predictor. A value outside `physiological` is refused; outside `training` it is computed and flagged."""

    name: str = Field(description="an input name of schemas.clinical, e.g. vbq, t_score")
    label: str
    unit: str = Field(description="UCUM; values must be stated in it")
    kind: Literal["continuous", "binary"] = "continuous"
    centre: float
    training: Span | None = None
    physiological: Span
    coefficient: float = Field(description="log hazard ratio per unit")
    standard_error: float | None = Field(default=None, ge=0)


class BaselinePoint(Record):
    """The baseline at one time, for a patient at the centres of all covariates."""

    time: float = Field(gt=0)
    cumulative_hazard: float = Field(ge=0)
    variance: float = Field(ge=0, description="of the cumulative hazard")
    mean: list[float] = Field(description="m(t), one per covariate, centred; zeros where not known")


class Baseline(Record):
    """`steps`: right-continuous between points (Cox); `points`: defined at those times alone; `linear`: H0 grows in
    proportion to time, from the one point given (current status).
    """

    form: Literal["steps", "points", "linear"]
    points: list[BaselinePoint] = Field(min_length=1)
    support: Span = Field(description="times at which the model may be asked")


class Population(Record):
    """Whom the model may be asked about."""

    sex: Literal["female", "male", "any"]
    menopause: Literal["post", "any"]
    minimum_age_years: float | None = None
    maximum_age_years: float | None = None
    description: str


class Training(Record):
    """Where the numbers come from."""

    description: str
    n: int = Field(gt=0)
    events: int = Field(ge=0)
    data_digest: str | None = Field(
        description="SHA-256 of the training file; None where the model is taken from print"
    )
    published: str | None = Field(default=None, description="citation with DOI")


class RiskThresholds(Record):
    """Where the words low, moderate, high begin; probabilities at the horizon. Display only, not a validated rule."""

    moderate: float = Field(gt=0, lt=1)
    high: float = Field(gt=0, lt=1)


class SourceAttribute(Record):
    """One of the 31 source attributes of 45 CFR 170.315(b)(11)(iv)(B)."""

    number: str = Field(description="e.g. 1.i")
    name: str
    value: str | None = Field(description="None is shown as 'not available'")


class TrustedKey(Record):
    """A public key that counts: for signing model files, for signing the log of deployments, or both."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$", description="for people")
    ed25519: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="the 32 bytes of the public key, base64")
    roles: list[Literal["sign", "deploy"]] = Field(
        default=["sign"],
        min_length=1,
        description="sign: its signature under a model file counts; deploy: it may deploy, shadow, roll back, revoke",
    )
    until: dt.date | None = Field(
        default=None,
        description="last day (UTC) on which it may deploy; give it to a retired key, whose older lines still count",
    )


class Signature(Record):
    """A detached signature over the bytes of a model file; it lies beside the file as <id>.sig.json."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    ed25519: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="which public key checks it, base64")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the signed bytes, hex")
    signature: str = Field(pattern=r"^[A-Za-z0-9+/]{86}==$", description="64 bytes, base64")


class ModelArtefact(Record):
    """Everything that a prediction needs and everything that a reader should know of it."""

    schema_version: Literal[1] = 1
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,63}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: str
    kind: Literal["cox", "current-status", "published"]
    status: str = Field(description="e.g. 'derived from a publication, research use, not validated'")
    outcome: str
    time_unit: TimeUnit = Field(default="years", description="of the horizon and of every time of the baseline")
    horizon: float = Field(gt=0, description="the served horizon, in time_unit")
    covariates: list[Covariate] = Field(min_length=1)
    covariance: list[list[float]] = Field(description="of the coefficients, in the order of covariates")
    baseline: Baseline
    interval: Literal["log", "log-log"]
    population: Population
    training: Training
    validation: dict[str, float | str | list[float] | None] = Field(
        default_factory=dict, description="figures of validation by name; lists hold curves and reference distributions"
    )
    thresholds: RiskThresholds | None = None
    software: dict[str, str] = Field(default_factory=dict)
    intended_use: str
    caution: str = Field(description="one sentence for the card")
    source_attributes: list[SourceAttribute] = Field(default_factory=list)
    created: dt.date
    expires: dt.date | None = None
    servable: bool = Field(default=True, description="False where the fit must not be served as a risk")
    servable_reason: str | None = None

    @property
    def horizon_years(self) -> float:
        """The served horizon in years, whatever the unit of the model's times."""
        return self.horizon / PER_YEAR[self.time_unit]

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        p = len(self.covariates)
        if len(self.covariance) != p or any(len(row) != p for row in self.covariance):
            raise ValueError(f"covariance must be {p} x {p}, one row per covariate")
        if any(len(point.mean) != p for point in self.baseline.points):
            raise ValueError(f"every baseline point must carry {p} means, one per covariate")
        if len({covariate.name for covariate in self.covariates}) != p:
            raise ValueError("two covariates have the same name")
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model file; what it cannot say (shapes of matrices) `ModelArtefact` checks."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:vbq-cds:model:{SCHEMA_VERSION}",
        **ModelArtefact.model_json_schema(),
    }
