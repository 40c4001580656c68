"""From a cohort table to a fitted model with everything that must be said about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.data.table import Table
from vbq.cohort.errors import NoFit, UnusableCohort
from vbq.cohort.roc import auc
from vbq.cohort.sample_size import Adequacy, adequacy, corrected_r2, largest_r2
from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import CoxFit, Engine, fit_cox
from vbq.cohort.survival.current_status import CurrentStatusFit, fit_current_status, proportionality
from vbq.cohort.survival.risksets import Ties
from vbq.cohort.survival.zph import proportional_hazards
from vbq.cohort.terms import Terms
from vbq.cohort.visit_times import VisitTimes, look_for_visit_times

Kind = Literal["cox", "current-status"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to fit. Column names as in the file."""

    time: str
    event: str
    covariates: tuple[str, ...]
    kind: Kind = "cox"
    ties: Ties = "efron"
    ridge: float = 0.0
    exact_times: bool = False
    "the analyst says that times are those of the events, though they look like visits"
    engine: Engine = "auto"
    splines: tuple[tuple[str, int], ...] = ()
    "columns bent by restricted cubic splines, with their numbers of knots"
    imputations: int = 0
    "completed copies by MICE; 0 leaves out rows with missing covariates"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Data:
    """The rows that are fitted: X (n, p), time (n,), event (n,), and how many were left out."""

    X: Floats
    time: Floats
    event: Bools
    kept: Bools
    "(all rows,)"
    left_out: str | None

    @property
    def n(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit and its company."""

    request: Request
    data: Data
    fit: CoxFit | CurrentStatusFit
    concordance: float
    concordance_se: float
    ph_test: dict[str, float | None]
    adequacy: Adequacy
    visits: VisitTimes
    warnings: tuple[str, ...]
    terms: Terms | None = None
    "how the columns of the file became the covariates, where splines were asked for"

    @property
    def looks_like_visits(self) -> bool:
        """Whether a literal Cox model was fitted to the times of visits."""
        return self.request.kind == "cox" and self.visits.recognised and not self.request.exact_times

    @property
    def summary(self) -> str:
        """For people."""
        lines = [self.fit.summary, f"  C = {self.concordance:.3f} (SE {self.concordance_se:.3f})"]
        return "\n".join([*lines, *(f"  note: {text}" for text in self.warnings if text not in self.fit.warnings)])


def event_column(table: Table, name: str) -> Floats:
    """0/1 with NaN where missing. Raises UnusableCohort for other codes."""
    values = table.numbers(name)
    bad = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
    if len(bad):
        codes = np.unique(values[~np.isnan(values)])
        hint = "recode 2 as 1 (event) and 1 as 0" if set(codes) <= {1.0, 2.0} else "recode it as 0 (none) and 1 (event)"
        raise UnusableCohort(f"{table.source}, column '{name}', {table.where(bad)}: not 0 or 1; {hint}")
    return values


def take_data(table: Table, time: str, event: str, covariates: Sequence[str], *, with_gaps: bool = False) -> Data:
    """Complete cases of the columns wanted (with_gaps: complete in time and event). Raises UnusableCohort in words."""
    if not covariates:
        raise UnusableCohort("no covariates were named; give at least one with --covariates")
    repeated = sorted({name for name in (*covariates, time, event) if (*covariates, time, event).count(name) > 1})
    if repeated:
        raise UnusableCohort(f"column {', '.join(repeated)} is named twice among time, event and covariates")
    table.require([time, event, *covariates])
    t, e, X = table.numbers(time), event_column(table, event), table.matrix(covariates)
    negative = np.flatnonzero(t < 0)
    if len(negative):
        raise UnusableCohort(
            f"{table.source}, column '{time}', {table.where(negative)}: negative follow-up; check the dates behind it"
        )
    missing = {name: int(np.isnan(v).sum()) for name, v in zip((time, event, *covariates), (t, e, *X.T), strict=True)}
    kept = ~(np.isnan(t) | np.isnan(e) | (np.isnan(X).any(axis=1) & (not with_gaps)))
    if not kept.any():
        raise UnusableCohort(f"{table.source}: no row has all of {', '.join((time, event, *covariates))}")
    left_out = None
    if not kept.all():
        counts = ", ".join(f"{name} {count}" for name, count in missing.items() if count)
        left_out = (
            f"{int((~kept).sum())} of {len(kept)} rows are left out for missing values ({counts}): complete-case "
            "analysis, unbiased only if they are missing by chance; impute them with --missing mice"
        )
    return Data(X[kept], t[kept], e[kept] == 1, kept, left_out)


def fit_data(data: Data, request: Request) -> Fitted:
    """Fit `request` to rows already chosen."""
    visits = look_for_visit_times(data.time, data.event)
    if request.kind == "cox":
        cox = fit_cox(
            data.X,
            data.time,
            data.event,
            request.covariates,
            ties=request.ties,
            ridge=request.ridge,
            engine=request.engine,
        )
        found = concordance(cox.fitted_predictor, data.time, data.event)
        c, c_se = found.c, found.standard_error
        ph_test: dict[str, float | None] = dict(proportional_hazards(cox).as_dict())
        ratio = 2 * (cox.log_likelihood - cox.log_likelihood_null)
        fit: CoxFit | CurrentStatusFit = cox
    else:
        status = fit_current_status(data.X, data.time, data.event, request.covariates, ridge=request.ridge)
        curve = auc(status.predictor(data.X), data.event)
        c, c_se = curve.auc, curve.standard_error
        ph_test = proportionality(data.X, data.time, data.event, request.covariates, status)
        ratio = 2 * (status.log_likelihood - status.log_likelihood_null)
        fit = status
    p = len(request.covariates)
    size = adequacy(
        n=data.n,
        events=fit.events,
        parameters=p,
        r2_cox_snell=corrected_r2(ratio, data.n, p),
        r2_maximum=largest_r2(data.n, fit.events),
        risk_at_horizon=fit.events / data.n,
    )
    notes = [data.left_out] if data.left_out else []
    notes += [*fit.warnings, *_warnings(request, visits, ph_test), size.sentence]
    return Fitted(request, data, fit, c, c_se, ph_test, size, visits, tuple(notes))


def _warnings(request: Request, visits: VisitTimes, ph_test: dict[str, float | None]) -> list[str]:
    notes = []
    if request.kind == "cox" and visits.recognised:
        said = " (you said --exact-times, so it is used as it stands)" if request.exact_times else ""
        notes.append(visits.sentence + said)
    if request.kind == "current-status" and not visits.recognised:
        notes.append(
            "the times do not look like visits (events begin early or follow-up differs between the groups); "
            "the current-status model throws away the times of events: consider --kind cox"
        )
    bent = [name for name, p in ph_test.items() if name != "GLOBAL" and p is not None and p < 0.05]
    if bent:
        notes.append(
            f"hazards do not look proportional for {', '.join(bent)}: the ratio changes with time; "
            "look at the plot of residuals, let the effect vary with time or shorten the horizon"
        )
    return notes


def refuse_prediction(fitted: Fitted) -> None:
    """Raise NoFit where a risk must not be read from this fit."""
    if fitted.looks_like_visits:
        raise NoFit(fitted.visits.sentence)
