"""Laboratory and DXA values for a made-up patient, spread as in Table 1 of Lin et al., Spine 2025;50:1296-1302."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final, Literal

import numpy as np
from pydantic import Field

from schemas.record import Record

Units = Literal["si", "us"]


class Quantity(Record):
    """How one quantity is drawn and written. `us` is (LOINC, UCUM, factor) of its American form."""

    loinc: str
    unit: str
    mean: float
    sd: float
    low: float
    high: float
    decimals: int = Field(ge=0, le=3)
    oldest_days: int = Field(description="before the study at most")
    category: Literal["laboratory", "vital-signs", "imaging"]
    us: tuple[str, str, float] | None = None
    drawn: bool = Field(default=True, description="False: written only where a value is given")


def _laboratory(
    loinc: str,
    unit: str,
    spread: tuple[float, float, float, float],
    decimals: int,
    us: tuple[str, str, float] | None = None,
) -> Quantity:
    mean, sd, low, high = spread
    return Quantity(
        loinc=loinc,
        unit=unit,
        mean=mean,
        sd=sd,
        low=low,
        high=high,
        decimals=decimals,
        oldest_days=45,
        category="laboratory",
        us=us,
    )


def _dxa(loinc: str, *, mean: float, sd: float, drawn: bool = True) -> Quantity:
    return Quantity(
        loinc=loinc,
        unit="{T-score}",
        mean=mean,
        sd=sd,
        low=-6.0,
        high=3.0,
        decimals=1,
        oldest_days=120,
        category="imaging",
        drawn=drawn,
    )


# Creatinine is drawn so that Cockcroft-Gault gives about the paper's clearance at its ages and weights.
QUANTITIES: Final[Mapping[str, Quantity]] = {
    "t-score": _dxa("38267-1", mean=-2.48, sd=1.6),
    "t-score-hip": _dxa("38264-8", mean=-1.9, sd=1.1),
    "t-score-femur": _dxa("38263-0", mean=-2.1, sd=1.1, drawn=False),
    "t-score-forearm": _dxa("38265-5", mean=-2.0, sd=1.2, drawn=False),
    "weight": Quantity(
        loinc="29463-7",
        unit="kg",
        mean=57.0,
        sd=10.3,
        low=36.0,
        high=110.0,
        decimals=1,
        oldest_days=30,
        category="vital-signs",
        us=("29463-7", "[lb_av]", 2.2046226),
    ),
    "creatinine": _laboratory("14682-9", "umol/L", (62.0, 14.0, 38.0, 160.0), 0, ("2160-0", "mg/dL", 1 / 88.40)),
    "crcl": _laboratory("2164-2", "mL/min", (71.9, 27.8, 15.0, 160.0), 1).but(drawn=False),
    "alp": _laboratory("6768-6", "U/L", (85.8, 30.5, 30.0, 240.0), 0),
    "calcium": _laboratory("2000-8", "mmol/L", (2.35, 0.09, 2.05, 2.65), 2, ("17861-6", "mg/dL", 1 / 0.2495)),
    "phosphate": _laboratory("14879-1", "mmol/L", (1.15, 0.19, 0.6, 1.8), 2, ("2777-1", "mg/dL", 1 / 0.3229)),
    "urate": _laboratory("14933-6", "umol/L", (325.4, 112.5, 120.0, 700.0), 0, ("3084-1", "mg/dL", 1 / 59.48)),
    "glucose": _laboratory("14749-6", "mmol/L", (5.8, 1.7, 3.8, 14.0), 1, ("2345-7", "mg/dL", 1 / 0.05551)),
}


class Value(Record):
    """One value as it will be written."""

    name: str
    loinc: str
    value: float
    unit: str
    date: dt.date
    category: str


def draw_values(
    seed: int, anchor: dt.date, *, given: Mapping[str, float], without: Collection[str], units: Units
) -> list[Value]:
    """Values up to some weeks before `anchor`, the date of the study.

    `given` replaces what would be drawn, in SI units (T-scores as they are); `without` leaves quantities out. The other
    values stay what they were.
    """
    rng = np.random.default_rng([seed, 8])
    values = []
    for name, quantity in QUANTITIES.items():
        away = float(np.clip(rng.normal(), -1.6, 1.6))  # no caricatures: the tails come by asking for them
        drawn = float(np.clip(quantity.mean + away * quantity.sd, quantity.low, quantity.high))
        days = int(rng.integers(0, quantity.oldest_days))
        if name in without or not (quantity.drawn or name in given):
            continue
        values.append(_written(name, quantity, given.get(name, drawn), anchor - dt.timedelta(days=days), units))
    return values


def _written(name: str, quantity: Quantity, value: float, date: dt.date, units: Units) -> Value:
    loinc, unit, factor, decimals = quantity.loinc, quantity.unit, 1.0, quantity.decimals
    if units == "us" and quantity.us is not None:
        loinc, unit, factor = quantity.us
        decimals = 2
    return Value(
        name=name,
        loinc=loinc,
        value=round(value * factor, decimals),
        unit=unit,
        date=date,
        category=quantity.category,
    )
