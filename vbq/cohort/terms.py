"""Columns of a file to columns of a regression: straight, or bent by a restricted cubic spline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from schemas.model import ModelArtefact
from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit
from vbq.cohort.splines import basis, knots_of

KNOTS = "fit.knots."
"""Key under which a model file keeps the knots of a column, as numbers separated by commas."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Base columns in order, and the knots of those that are bent."""

    columns: tuple[str, ...]
    knots: Mapping[str, Floats]

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each column of the regression: vbq, vbq', vbq'' for a spline with four knots."""
        return tuple(
            name + "'" * k
            for name in self.columns
            for k in range(len(self.knots[name]) - 1 if name in self.knots else 1)
        )

    def expand(self, X: Floats) -> Floats:
        """(n, columns) to (n, terms); NaN stays NaN."""
        parts = [
            basis(X[:, j], self.knots[name]) if name in self.knots else X[:, [j]] for j, name in enumerate(self.columns)
        ]
        return np.column_stack(parts)


def terms_for(X: Floats, columns: Sequence[str], splines: Sequence[tuple[str, int]]) -> Terms:
    """Terms with knots at Harrell's quantiles of X (n, p), whose NaN are left out."""
    knots = {}
    for name, count in splines:
        if name not in columns:
            raise NoFit(f"a spline was asked for '{name}', which is not among the covariates; add it there")
        x = X[:, list(columns).index(name)]
        knots[name] = knots_of(x[~np.isnan(x)], count)
    return Terms(tuple(columns), knots)


def terms_of(model: ModelArtefact, columns: Sequence[str]) -> Terms:
    """The terms that a model file was fitted with."""
    trained = str(model.validation.get("fit.columns") or "").split(",")
    knots = {}
    for here, name in zip(columns, trained, strict=False):
        text = model.validation.get(KNOTS + name)
        if isinstance(text, str):
            knots[here] = np.array([float(part) for part in text.split(",")])
    return Terms(tuple(columns), knots)


def nonlinearity(terms: Terms, coefficients: Floats, covariance: Floats) -> dict[str, float]:
    """Wald test of the bent terms of each spline: a small p means that a straight line is not enough."""
    found = {}
    for name in terms.knots:
        rows = [j for j, term in enumerate(terms.names) if term.rstrip("'") == name and term != name]
        b, V = coefficients[rows], covariance[np.ix_(rows, rows)]
        found[name] = float(chi2.sf(float(b @ np.linalg.solve(V, b)), len(rows)))
    return found
