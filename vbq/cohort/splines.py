"""Restricted cubic splines: cubic between knots, straight beyond them (Harrell, Regression Modeling Strategies)."""

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit

QUANTILES: dict[int, tuple[float, ...]] = {
    3: (0.10, 0.50, 0.90),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.50, 0.725, 0.95),
}


def knots_of(x: Floats, count: int) -> Floats:
    """Harrell's quantiles of x (n,). Raises NoFit where there are too few different values."""
    if count not in QUANTILES:
        raise NoFit(f"splines have 3, 4 or 5 knots here, not {count}")
    knots: Floats = np.unique(np.quantile(x, QUANTILES[count]))
    if len(knots) < count or len(np.unique(x)) <= count:
        raise NoFit("too few different values for so many knots; use fewer knots or keep the covariate linear")
    return knots


def basis(x: Floats, knots: Floats) -> Floats:
    """(n, k - 1): x itself and k - 2 bent terms, scaled by the squared distance of the outer knots as in rms."""
    t = knots
    k = len(t)
    cube = np.maximum(x[:, None] - t[None, :], 0.0) ** 3
    width = t[-1] - t[-2]
    terms = [x]
    for j in range(k - 2):
        bent = cube[:, j] - cube[:, -2] * (t[-1] - t[j]) / width + cube[:, -1] * (t[-2] - t[j]) / width
        terms.append(bent / (t[-1] - t[0]) ** 2)
    return np.column_stack(terms)
