"""How large a cohort must be for a model of so many parameters: Riley et al., Stat Med 2019;38:1276 (part II).

Three criteria for a time-to-event outcome: (i) expected shrinkage of at least .9; (ii) optimism in apparent
Nagelkerke R2 of at most .05; (iii) the overall risk at the horizon known to +-.05. The anticipated Cox-Snell R2 is
taken from the fit, corrected by Van Houwelingen's heuristic shrinkage; a cautious one, 15 % of the largest possible,
is shown beside it.
"""

import math
from dataclasses import dataclass

SHRINKAGE = 0.9
OPTIMISM = 0.05
MARGIN = 0.05
UNREACHABLE = 10**9
"""Stands for no number of people being enough (an R2 of zero)."""


CAUTIOUS = 0.15
"""Share of the largest possible R2 to expect where nothing better is known (Riley 2019)."""


@dataclass(frozen=True, slots=True)
class Adequacy:
    """People wanted by each criterion, at the R2 of this fit and at a cautious one."""

    n: int
    events: int
    parameters: int
    r2_anticipated: float
    "Cox-Snell, of this fit after correction for optimism"
    r2_cautious: float
    for_shrinkage: tuple[int, int]
    "(at the R2 of this fit, at the cautious R2)"
    for_optimism: int
    for_overall_risk: int
    parameters_supported: tuple[int, int]
    "(cautious, at the R2 of this fit) parameters for which shrinkage stays above .9"

    @property
    def wanted(self) -> tuple[int, int]:
        """Largest of the criteria at the R2 of this fit and at the cautious one, increasing."""
        rest = max(self.for_optimism, self.for_overall_risk)
        low, high = sorted(self.for_shrinkage)
        return max(low, rest), max(high, rest)

    @property
    def adequate(self) -> bool:
        """Whether all criteria hold at the R2 of this fit."""
        return self.n >= max(self.for_shrinkage[0], self.for_optimism, self.for_overall_risk)

    @property
    def sentence(self) -> str:
        """The verdict, always printed."""
        if self.for_shrinkage[0] >= UNREACHABLE:
            return self._chance
        low, high = self.wanted
        few, many = self.parameters_supported
        verdict = "enough" if self.adequate else "too few: use fewer parameters, penalise, or collect more"
        s = "" if self.parameters == 1 else "s"
        return (
            f"Riley's sample-size criteria: {self.parameters} parameter{s} want {low} to {high} people "
            f"(shrinkage of .9: {self.for_shrinkage[0]} at this fit's corrected R2 of {self.r2_anticipated:.3f}, "
            f"{self.for_shrinkage[1]} at a cautious {self.r2_cautious:.3f}; optimism {self.for_optimism}; overall risk "
            f"to +-.05 {self.for_overall_risk}); the cohort has {self.n}: {verdict}. It supports {few} to {many} "
            "parameters by the shrinkage criterion"
        )

    @property
    def _chance(self) -> str:
        """The verdict on a fit that predicts nothing: its own R2 asks for infinitely many."""
        s = "" if self.parameters == 1 else "s"
        return (
            "Riley's sample-size criteria: after correction for optimism this fit predicts no better than chance "
            f"(R2 of 0), so no number of people would be enough at its own R2. At a cautious R2 of "
            f"{self.r2_cautious:.3f} {self.parameters} parameter{s} want {self.for_shrinkage[1]} people, the overall "
            f"risk to +-.05 wants {self.for_overall_risk}; the cohort has {self.n}: do not use this fit to predict"
        )


def largest_r2(n: int, events: int) -> float:
    """Largest possible Cox-Snell R2 (Riley 2019, section 4.2), time in units of the mean follow-up."""
    log_likelihood = events * math.log(events / n) - events
    return -math.expm1(2 * log_likelihood / n)


def corrected_r2(likelihood_ratio: float, n: int, parameters: int) -> float:
    """Cox-Snell R2 expected in new people: the apparent one times the heuristic shrinkage 1 - p / LR."""
    if likelihood_ratio <= parameters:
        return 0.0
    apparent = -math.expm1(-likelihood_ratio / n)
    return (1 - parameters / likelihood_ratio) * apparent


def for_shrinkage(parameters: int, r2: float) -> int:
    """People for an expected uniform shrinkage of .9 (criterion i)."""
    if r2 <= 0:
        return UNREACHABLE
    return math.ceil(parameters / ((SHRINKAGE - 1) * math.log1p(-min(r2, 0.89) / SHRINKAGE)))


def adequacy(
    *, n: int, events: int, parameters: int, r2_cox_snell: float, r2_maximum: float, risk_at_horizon: float
) -> Adequacy:
    """Sizes wanted. risk_at_horizon is the overall proportion with the event by the horizon of interest."""
    r2 = min(r2_cox_snell, 0.999 * r2_maximum)
    cautious = CAUTIOUS * r2_maximum
    optimism = UNREACHABLE
    if r2 > 0:
        s = r2 / (r2 + OPTIMISM * r2_maximum)
        optimism = math.ceil(parameters / ((s - 1) * math.log1p(-r2 / s)))
    risk = math.ceil((1.96 / MARGIN) ** 2 * risk_at_horizon * (1 - risk_at_horizon))
    supported = sorted(n // for_shrinkage(1, value) for value in (cautious, r2))
    return Adequacy(
        n=n,
        events=events,
        parameters=parameters,
        r2_anticipated=r2,
        r2_cautious=cautious,
        for_shrinkage=(for_shrinkage(parameters, r2), for_shrinkage(parameters, cautious)),
        for_optimism=optimism,
        for_overall_risk=risk,
        parameters_supported=(supported[0], supported[1]),
    )
