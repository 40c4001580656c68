"""The bench for notebooks: data frames in, results with `.summary` and `.plot()` out.

from vbq.cohort import fit_model, report_cohort
model = fit_model(frame, time="follow_up", event="event", covariates=["vbq", "t_score"], kind="current-status")
model.summary; model.plot(); model.predict(frame, [5.0]); model.validate(frame).summary
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from schemas.model import ModelArtefact, TimeUnit
from vbq.cohort.artefact import Labels, to_artefact
from vbq.cohort.data.check import check_table
from vbq.cohort.data.standard import standard_cohort
from vbq.cohort.data.table import from_frame
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Fitted, Kind, Request
from vbq.cohort.fitting import fit_cohort
from vbq.cohort.prediction import complete_matrix, curves_of
from vbq.cohort.report.analysis import Analysis, analyse
from vbq.cohort.report.document import document_of
from vbq.cohort.results import CheckResult, ValidationResult, new_axes
from vbq.cohort.survival.risksets import Ties
from vbq.cohort.validation.report import Asked
from vbq.cohort.validation.report import validate as validate_model

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KINDS: tuple[Kind, ...] = ("cox", "current-status")
TIES: tuple[Ties, ...] = ("efron", "breslow")


@dataclass(frozen=True)
class FitResult:
    """A fitted model; `fitted` holds every detail."""

    fitted: Fitted
    digest: str
    "of the frame that was fitted, so that a validation knows it again"

    def __repr__(self) -> str:
        return self.fitted.summary

    @property
    def summary(self) -> "pd.DataFrame":
        """One row per covariate: coefficient, SE, hazard ratio with its 95 % interval, p."""
        import pandas as pd

        fit = self.fitted.fit
        z = float(norm.ppf(0.975))
        b, se = fit.coefficients, fit.standard_errors
        columns = {
            "coef": b,
            "se": se,
            "hr": np.exp(b),
            "lower": np.exp(b - z * se),
            "upper": np.exp(b + z * se),
            "p": fit.p_values,
        }
        return pd.DataFrame(columns, index=list(fit.names))

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.fitted.warnings

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """A forest plot of the hazard ratios."""
        ax = ax or new_axes()
        rows = self.summary.iloc[::-1]
        places = np.arange(len(rows))
        low, high = rows["hr"] - rows["lower"], rows["upper"] - rows["hr"]
        ax.errorbar(rows["hr"], places, xerr=np.array([low, high]), fmt="o", capsize=3)
        ax.axvline(1.0, color="grey", linestyle=":")
        ax.set_xscale("log")
        ax.set_yticks(places, list(rows.index))
        ax.set_xlabel("Hazard ratio (95 % CI)")
        return ax

    def artefact(
        self,
        *,
        model_id: str = "notebook",
        version: str = "1.0.0",
        created: dt.date,
        horizon_years: float = 5.0,
        time_unit: TimeUnit | None = None,
    ) -> ModelArtefact:
        """The model file of this fit; `created` is the day that it will carry, `time_unit` that of the times."""
        labels = Labels(model_id, version, "a data frame", self.digest, created, horizon_years, time_unit=time_unit)
        return to_artefact(self.fitted, labels)

    def predict(self, frame: "pd.DataFrame", times: Sequence[float] | float) -> "pd.DataFrame":
        """Survival at `times`, in the unit of the fitted times, with 95 % limits, of every row of `frame`.

        Columns row (from 0), time, survival, lower, upper. Raises NoFit beyond the follow-up and for a Cox model of
        visit times, UnusableCohort for missing covariates.
        """
        import pandas as pd

        from vbq.cohort.fit import refuse_prediction

        refuse_prediction(self.fitted)
        model = self.artefact(created=dt.date.min)
        X = complete_matrix(model, from_frame(frame))
        at = np.atleast_1d(np.asarray(times, dtype=np.float64))
        c = curves_of(model, X, at)
        n, t = c.survival.shape
        columns = {"row": np.repeat(np.arange(n), t), "time": np.tile(at, n)}
        values = {name: getattr(c, name).ravel() for name in ("survival", "lower", "upper")}
        return pd.DataFrame({**columns, **values})

    def validate(self, frame: "pd.DataFrame", *, bootstrap: int = 500, seed: int = 1) -> ValidationResult:
        """Internal validation on the frame that was fitted, external on any other."""
        asked = Asked(replicates=bootstrap, seed=seed)
        model = self.artefact(created=dt.date.min)
        return ValidationResult(validate_model(model, from_frame(frame), asked, digest_of(frame)))


@dataclass(frozen=True)
class ReportResult:
    """The paper's analyses of a cohort."""

    analysis: Analysis

    def __repr__(self) -> str:
        d = self.document
        return f"Report on {d['n']} people, {d['events']} events\n{self.summary.round(3).to_string(index=False)}"

    @property
    def document(self) -> dict[str, Any]:
        """The content of report.json."""
        return document_of(self.analysis)

    @property
    def summary(self) -> "pd.DataFrame":
        """Table 2: hazard ratios by model and marker."""
        import pandas as pd

        rows = [
            {"model": block, "marker": marker, **ratio}
            for block, ratios in self.analysis.cox.items()
            for marker, ratio in ratios.items()
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The ROC curves."""
        ax = ax or new_axes()
        for name, curve in self.analysis.roc.items():
            label = f"{name} {curve.area.auc:.2f}"
            ax.plot(curve.false_positive_rate, curve.true_positive_rate, label=label)
        ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
        ax.set_xlabel("1 - specificity")
        ax.set_ylabel("Sensitivity")
        ax.legend()
        return ax


def digest_of(frame: "pd.DataFrame") -> str:
    """SHA-256 of a frame's content."""
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()


def fit_model(
    frame: "pd.DataFrame",
    *,
    time: str,
    event: str,
    covariates: Sequence[str] | str,
    kind: Kind = "cox",
    ties: Ties = "efron",
    ridge: float = 0.0,
    imputations: int = 0,
    seed: int = 1,
    exact_times: bool = False,
    splines: Mapping[str, int] | None = None,
) -> FitResult:
    """Fit a Cox (`kind` "cox") or a current-status model ("current-status") to a frame.

    time, event: columns of follow-up and of 0/1. ridge: penalty on squared coefficients per SD. imputations > 0: so
    many copies by MICE instead of complete cases. splines: covariates to bend, with 3 to 5 knots, such as {"vbq": 4}.
    exact_times: the times are those of the events though they look like visits. Raises UnusableCohort or NoFit.
    """
    for name, value, choices in (("kind", kind, KINDS), ("ties", ties, TIES)):
        if value not in choices:
            raise NoFit(f"{name} is '{value}'; it can be {' or '.join(choices)}")
    request = Request(
        time,
        event,
        (covariates,) if isinstance(covariates, str) else tuple(covariates),
        kind,
        ties,
        ridge,
        exact_times,
        splines=tuple((splines or {}).items()),
        imputations=imputations,
        seed=seed,
    )
    return FitResult(fit_cohort(from_frame(frame), request), digest_of(frame))


def report_cohort(frame: "pd.DataFrame", *, bootstrap: int = 0, seed: int = 1) -> ReportResult:
    """Everything that the paper reports, for any cohort with the dictionary's columns."""
    return ReportResult(analyse(standard_cohort(from_frame(frame)), bootstrap, seed))


def check_cohort(frame: "pd.DataFrame") -> CheckResult:
    """Hold a frame against the data dictionary."""
    return CheckResult(check_table(from_frame(frame)))
