"""A request and a table to a fit: complete cases, or impute, fit each copy and pool."""

from dataclasses import replace

import numpy as np

from vbq.cohort.data.table import Table
from vbq.cohort.fit import Data, Fitted, Request, fit_data, take_data
from vbq.cohort.imputation import impute, pool_cox, pool_current_status
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.current_status import CurrentStatusFit
from vbq.cohort.terms import Terms, nonlinearity, terms_for


def fit_cohort(table: Table, request: Request) -> Fitted:
    """Fit `request` to a cohort. Raises UnusableCohort or NoFit, in words."""
    if request.imputations:
        gappy = take_data(table, request.time, request.event, request.covariates, with_gaps=True)
        if np.isnan(gappy.X).any():
            return fit_imputed(gappy, request)
    data = take_data(table, request.time, request.event, request.covariates)
    terms = terms_for(data.X, request.covariates, request.splines)
    return with_terms(fit_data(replace(data, X=terms.expand(data.X)), replace(request, covariates=terms.names)), terms)


def with_terms(fitted: Fitted, terms: Terms) -> Fitted:
    """The fit with its splines on record, and whether they were needed."""
    if not terms.knots:
        return fitted
    tests = nonlinearity(terms, fitted.fit.coefficients, fitted.fit.covariance)
    notes = [
        f"{name} is bent by a spline with {len(terms.knots[name])} knots; test of non-linearity p = {p:.3g}"
        for name, p in tests.items()
    ]
    return replace(fitted, terms=terms, warnings=(*notes, *fitted.warnings))


def fit_imputed(data: Data, request: Request) -> Fitted:
    """`request` fitted to each of its imputations of `data`, whose X may hold NaN, and pooled by Rubin's rules."""
    rng = np.random.default_rng(request.seed)
    completed = impute(data.X, data.time, data.event, request.covariates, copies=request.imputations, rng=rng)
    rows = int(np.isnan(data.X).any(axis=1).sum())
    terms = terms_for(data.X, request.covariates, request.splines)
    bent = replace(request, covariates=terms.names)
    parts = [fit_data(replace(data, X=terms.expand(X)), bent) for X in completed]
    first = parts[0]
    fit: CoxFit | CurrentStatusFit
    if isinstance(first.fit, CoxFit):
        fit, share = pool_cox([part.fit for part in parts if isinstance(part.fit, CoxFit)])
    else:
        fit, share = pool_current_status([part.fit for part in parts if isinstance(part.fit, CurrentStatusFit)])
    note = (
        f"{rows} of {data.n} rows lack a covariate: {request.imputations} imputations by chained equations "
        f"(predictive mean matching), pooled by Rubin's rules; up to {100 * share:.0f} % of a coefficient's variance "
        "comes from what is missing. Right only if values are missing at random given what is known"
    )
    errors = [part.concordance_se for part in parts]
    scores = [part.concordance for part in parts]
    spread = float(np.var(scores, ddof=1)) * (1 + 1 / len(parts)) if len(parts) > 1 else 0.0
    ph_test = {name: _median([part.ph_test[name] for part in parts]) for name in first.ph_test}
    pooled = replace(
        first,
        fit=fit,
        concordance=float(np.mean(scores)),
        concordance_se=float(np.sqrt(np.mean(np.square(errors)) + spread)),
        ph_test=ph_test,
        warnings=(note, *first.warnings),
    )
    return with_terms(pooled, terms)


def _median(values: list[float | None]) -> float | None:
    """The median p of the imputations: a common and slightly cautious summary (Eekhout 2017)."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
