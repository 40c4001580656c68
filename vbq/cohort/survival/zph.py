"""Are hazards proportional? The score test of R's cox.zph (survival 3), transform "km"."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from vbq.cohort.arrays import Floats
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.likelihood import information

NO_INFORMATION = 1e-9  # share of what the covariate itself is known to; below it is rounding


@dataclass(frozen=True, slots=True)
class ProportionalHazards:
    """Chi-square and p per covariate (1 df each) and for all together (p df); residuals for the plots."""

    names: tuple[str, ...]
    chi_square: Floats
    p_values: Floats
    global_chi_square: float
    global_p: float
    event_time: Floats
    "(d,) increasing"
    transformed_time: Floats
    "(d,) 1 - KM just before"
    scaled_residuals: Floats
    "(d, p) scaled Schoenfeld residuals plus the coefficient: an estimate of beta(t)"

    def as_dict(self) -> dict[str, float | None]:
        """The p of each covariate and GLOBAL; None where it cannot be tested."""
        named = [*zip(self.names, self.p_values.tolist(), strict=True), ("GLOBAL", self.global_p)]
        return {name: None if math.isnan(p) else p for name, p in named}


def km_transform(fit: CoxFit) -> Floats:
    """1 - S(t-) of the whole cohort's Kaplan-Meier at each event (d,)."""
    sets = fit.sets
    at_risk = sets.last_row + 1
    survival = np.cumprod((1 - sets.deaths / at_risk)[::-1])
    before = np.concatenate(([1.0], survival[:-1]))[::-1]
    transformed: Floats = (1 - before)[sets.event_moment]
    return transformed


def proportional_hazards(fit: CoxFit) -> ProportionalHazards:
    """Score test of beta_j + theta_j g(t) with theta = 0 (Grambsch and Therneau 1994, exact version of survival 3)."""
    sets, Z, state = fit.sets, fit.sorted_covariates, fit.state
    g = km_transform(fit)
    centred = g - g.mean()
    residuals = Z[sets.event_row] - state.mean
    U = (residuals * centred[:, None]).sum(axis=0)
    I0 = information(sets, Z, state)
    I1 = information(sets, Z, state, centred)
    I2 = information(sets, Z, state, centred**2)
    p = len(fit.names)
    # theta's information given beta: I2 - I1 I0^-1 I1, the Schur complement of the joint information
    adjusted = I2 - I1 @ np.linalg.solve(I0, I1)
    # With one event, or all events at one moment, there is no time along which an effect could change.
    known = np.diag(adjusted) > NO_INFORMATION * np.diag(I0) * (centred**2).max()
    chi = np.divide(U**2, np.diag(adjusted), out=np.full(p, np.nan), where=known)
    overall = float(U @ np.linalg.lstsq(adjusted, U, rcond=None)[0]) if known.all() else math.nan
    increasing = slice(None, None, -1)
    scaled = fit.events * residuals @ np.linalg.inv(I0) / fit.design.scale + fit.coefficients
    return ProportionalHazards(
        names=fit.names,
        chi_square=chi,
        p_values=chi2.sf(chi, 1),
        global_chi_square=overall,
        global_p=float(chi2.sf(overall, p)),
        event_time=sets.time[sets.event_row][increasing],
        transformed_time=g[increasing],
        scaled_residuals=scaled[increasing],
    )
