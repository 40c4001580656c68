"""Two models on the same patients: how far their risks lie apart, and whom they would call something else."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from schemas.assessment import RiskClass

CLASSES: tuple[RiskClass, ...] = ("low", "moderate", "high")
Z = 1.959963984540054


class Pair(Protocol):
    """One patient at one moment under both models; gateways.registry.shadows.ShadowScore is one."""

    @property
    def state(self) -> str: ...
    @property
    def active_state(self) -> str: ...
    @property
    def risk(self) -> float | None: ...
    @property
    def active_risk(self) -> float | None: ...
    @property
    def risk_class(self) -> str | None: ...
    @property
    def active_class(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...


class Agreement(NamedTuple):
    """Shadow minus active, over the patients for whom both have a number (Bland and Altman 1986)."""

    mean: float
    sd: float
    lower: float
    upper: float
    largest: float
    correlation: float | None


def agreement(pairs: Sequence[tuple[float, float]]) -> Agreement | None:
    """Of (active, shadow) risks; None for fewer than two patients."""
    n = len(pairs)
    if n < 2:
        return None
    gaps = [shadow - active for active, shadow in pairs]
    mean = math.fsum(gaps) / n
    sd = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (n - 1))
    return Agreement(mean, sd, mean - Z * sd, mean + Z * sd, max(gaps, key=abs), _correlation(pairs))


def compare(rows: Sequence[Pair]) -> dict[str, Any]:
    """The figures of the report: counts, agreement, and the table of risk classes. No patient in it."""
    both = [(row.active_risk, row.risk) for row in rows if row.active_risk is not None and row.risk is not None]
    moved = Counter((row.active_class, row.risk_class) for row in rows if row.active_class and row.risk_class)
    found = agreement(both)
    return {
        "n": len(rows),
        "both": len(both),
        "active_alone": sum(row.active_risk is not None and row.risk is None for row in rows),
        "shadow_alone": sum(row.active_risk is None and row.risk is not None for row in rows),
        "states": {
            f"{active} -> {shadow}": count
            for (active, shadow), count in sorted(Counter((row.active_state, row.state) for row in rows).items())
        },
        "reasons": dict(Counter(row.reason for row in rows if row.risk is None and row.reason).most_common()),
        "agreement": found._asdict() if found else None,
        "mean_active": math.fsum(active for active, _ in both) / len(both) if both else None,
        "mean_shadow": math.fsum(shadow for _, shadow in both) / len(both) if both else None,
        "classes": {old: {new: moved[old, new] for new in CLASSES} for old in CLASSES},
        "other_class": sum(count for (old, new), count in moved.items() if old != new),
    }


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    n = len(pairs)
    mean_a, mean_b = (math.fsum(pair[i] for pair in pairs) / n for i in (0, 1))
    aa, bb, ab = (
        math.fsum((pair[i] - (mean_a, mean_b)[i]) * (pair[j] - (mean_a, mean_b)[j]) for pair in pairs)
        for i, j in ((0, 0), (1, 1), (0, 1))
    )
    return ab / math.sqrt(aa * bb) if aa > 0 and bb > 0 else None
