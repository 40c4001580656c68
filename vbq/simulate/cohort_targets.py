"""What a synthetic cohort must look like: the figures of Lin et al. 2025 (Spine 50:1296), and nothing else.

Correlations inside the outcome groups are not published; the ones here are ASSUMED, but for VBQ with T-score.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

EVENTS, OTHERS = 54, 83
N = EVENTS + OTHERS

Shape = Literal["normal", "skewed"]


@dataclass(frozen=True, slots=True)
class Marginal:
    """Mean and SD with and without the event, as printed with `printed` decimals; values have `decimals`."""

    name: str
    event: tuple[float, float]
    other: tuple[float, float]
    decimals: int
    printed: int
    shape: Shape
    low: float
    high: float


MARGINALS: tuple[Marginal, ...] = (
    Marginal("age", (73.7, 7.8), (62.7, 7.6), 0, 1, "normal", 50, 92),
    Marginal("weight", (51.9, 10.0), (57.1, 8.8), 1, 1, "normal", 30, 95),
    Marginal("calcium", (2.32, 0.26), (2.38, 0.29), 2, 2, "normal", 1.2, 3.4),
    Marginal("phosphorus", (1.13, 0.17), (1.17, 0.20), 2, 2, "normal", 0.5, 1.9),
    Marginal("uric_acid", (313.1, 104.5), (333.4, 117.4), 0, 1, "skewed", 90, 900),
    Marginal("crcl", (63.6, 30.8), (77.4, 24.3), 1, 1, "skewed", 8, 230),
    Marginal("alp", (94.8, 36.7), (80.0, 24.2), 0, 1, "skewed", 25, 300),
    Marginal("glucose", (5.64, 1.15), (5.96, 1.96), 2, 2, "skewed", 3.0, 17),
    Marginal("vbq", (4.62, 0.67), (4.03, 0.68), 2, 2, "normal", 2.2, 6.9),
)
T_SCORE = ((-3.40, 1.41), (-1.87, 1.41))
DXA_COUNTS = ((3, 9, 42), (20, 32, 31))
"""Normal, osteopenia, osteoporosis, with and without the event."""
HISTORY = (42, 8)
OSTEOPENIC_WITH_HISTORY = (2, 4)
"""Women whose T-score alone says osteopenia and whose history makes it osteoporosis (ASSUMED)."""
FOLLOW_UP = ((6.40, 1.40), (6.41, 1.60))
SHORTEST_FOLLOW_UP, LONGEST_FOLLOW_UP = 5.0, 12.0

CORRELATIONS: dict[tuple[str, str], float] = {
    ("age", "crcl"): -0.45,
    ("weight", "crcl"): 0.35,
    ("age", "weight"): -0.15,
    ("vbq", "t_score"): -0.27,
    ("age", "t_score"): -0.15,
    ("age", "vbq"): 0.15,
    ("weight", "t_score"): 0.20,
    ("calcium", "phosphorus"): 0.15,
    ("uric_acid", "crcl"): -0.25,
    ("weight", "uric_acid"): 0.15,
    ("alp", "t_score"): -0.10,
}


@dataclass(frozen=True, slots=True)
class Target:
    """One figure that the analysis of the cohort must give, and how close."""

    name: str
    value: float
    tolerance: float


def _se(low: float, high: float) -> float:
    return log(high / low) / (2 * 1.959963984540054)


# The order is that of vbq.simulate.cohort_annealing
TARGETS: tuple[Target, ...] = (
    Target("log HR of VBQ", log(2.29), 0.003),
    Target("log HR of T-score", log(0.70), 0.003),
    Target("log HR of history", log(6.6), 0.008),
    Target("log HR of VBQ, adjusted", log(1.93), 0.003),
    Target("log HR of T-score, adjusted", log(0.71), 0.003),
    Target("log HR of VBQ beside T-score", log(1.87), 0.003),
    Target("log HR of T-score beside VBQ", log(0.76), 0.003),
    Target("SE of VBQ", _se(1.59, 3.28), 0.006),
    Target("SE of T-score", _se(0.59, 0.83), 0.004),
    Target("SE of history", _se(3.4, 12.8), 0.012),
    Target("SE of VBQ, adjusted", _se(1.30, 2.87), 0.006),
    Target("SE of T-score, adjusted", _se(0.57, 0.88), 0.004),
    Target("SE of VBQ beside T-score", _se(1.26, 2.78), 0.006),
    Target("SE of T-score beside VBQ", _se(0.63, 0.92), 0.004),
    Target("r of VBQ and T-score", -0.40, 0.003),
    Target("AUC of VBQ for osteoporosis", 0.67, 0.003),
    Target("AUC of VBQ for prior fracture", 0.72, 0.003),
    Target("AUC of T-score for prior fracture", 0.78, 0.003),
    Target("cut-off of VBQ for osteoporosis", 3.95, 0.004),
    Target("cut-off of VBQ for prior fracture", 3.85, 0.004),
    # sensitivities and specificities of the two VBQ cut-offs as they must be, not as they are printed (swapped)
    Target("sensitivity at 3.95", 0.79, 0.02),
    Target("specificity at 3.95", 0.52, 0.02),
    Target("sensitivity at 3.85", 0.91, 0.02),
    Target("specificity at 3.85", 0.41, 0.02),
    Target("sensitivity of T-score", 0.76, 0.04),
    Target("specificity of T-score", 0.70, 0.04),
    Target("mean VBQ of cases without osteoporosis", 4.70, 0.05),
)
