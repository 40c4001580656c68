"""Is the covariate matrix fit for a regression? Constant and collinear columns, named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit

RANK_TOLERANCE = 1e-9
SUSPECT = 1e-6
"""Smallest eigenvalue of a correlation matrix below which the slower, exact look is worth its time."""


@dataclass(frozen=True, slots=True)
class Standardised:
    """(X - centre) / scale, with full column rank."""

    Z: Floats
    centre: Floats
    scale: Floats


def standardise(X: Floats, names: Sequence[str]) -> Standardised:
    """X (n, p) to mean 0 and SD 1. Raises NoFit naming constant or collinear columns and missing or infinite values."""
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != len(names) or not names:
        raise NoFit(f"{len(names)} covariate names for a table of shape {X.shape}; give at least one covariate")
    if len(set(names)) != len(names):
        raise NoFit("a covariate is named twice; name each once")
    holes = [name for name, column in zip(names, X.T, strict=True) if not np.isfinite(column).all()]
    if holes:
        raise NoFit(f"missing or infinite values in {quoted(holes)}; exclude those rows or impute them first")
    centre = X.mean(axis=0)
    scale = X.std(axis=0)
    constant = [name for name, column in zip(names, X.T, strict=True) if column.min() == column.max()]
    if constant:
        raise NoFit(f"{quoted(constant)} has one and the same value in every row, so it predicts nothing; leave it out")
    Z = (X - centre) / scale
    if float(np.linalg.eigvalsh(Z.T @ Z / len(Z))[0]) < SUSPECT:
        refuse_collinear(Z, names)
    return Standardised(Z, centre, scale)


def refuse_collinear(Z: Floats, names: Sequence[str]) -> None:
    """Raise NoFit if a column of Z is a combination of others, naming it (QR with column pivoting)."""
    _, R, pivot = qr(Z, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > RANK_TOLERANCE * diagonal[0]).sum())
    if rank < len(names):
        spare = [names[int(column)] for column in pivot[rank:]]
        kept = [names[int(column)] for column in pivot[:rank]]
        raise NoFit(
            f"{quoted(spare)} can be computed exactly from {quoted(kept)} (collinear columns, or fewer rows than "
            f"covariates); leave out {'one of them' if len(spare) == 1 else f'{len(spare)} of them'}"
        )


def quoted(names: Sequence[str]) -> str:
    """'a', 'b' and 'c'."""
    marked = [f"'{name}'" for name in names]
    return marked[0] if len(marked) == 1 else f"{', '.join(marked[:-1])} and {marked[-1]}"
