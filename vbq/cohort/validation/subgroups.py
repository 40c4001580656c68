"""The same model in parts of the cohort: ages, field strengths, ethnicities, where the file has them."""

import numpy as np
from scipy.stats import norm

from vbq.cohort.arrays import Bools
from vbq.cohort.data.dictionary import known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import NoFit, UnusableCohort
from vbq.cohort.roc import auc
from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.kaplan_meier import kaplan_meier
from vbq.cohort.validation.calibration import wilson
from vbq.cohort.validation.people import People

AGES = ((-np.inf, 65.0, "under 65"), (65.0, 75.0, "65 to 74"), (75.0, np.inf, "75 and over"))
SPLIT_BY = ("sex", "ethnicity", "field_strength", "scanner")
FEWEST = 5
"""Events, and people without, below which a subgroup's figures say nothing."""


def groups_of(table: Table, kept: Bools) -> list[tuple[str, str, Bools]]:
    """(what, which, rows among those kept) for every subgroup the file allows."""
    found: list[tuple[str, str, Bools]] = []
    for name in table.columns:
        column = known(name)
        if column is None:
            continue
        if column.name == "age":
            try:
                age = table.numbers(name)[kept]
            except UnusableCohort:  # a column that the model does not use may be broken; it is left out
                continue
            found += [("age", label, (age >= low) & (age < high)) for low, high, label in AGES]
        elif column.name in SPLIT_BY:
            text = np.array([value or "" for value in table.text(name)])[kept]
            found += [(column.name, str(value), text == value) for value in np.unique(text) if value]
    return found


def subgroup_rows(people: People, groups: list[tuple[str, str, Bools]]) -> list[dict[str, object]]:
    """n, events, concordance and observed / expected, each with a 95 % interval, or why there are none."""
    return [{"by": by, "group": label, **_figures(people.rows(rows))} for by, label, rows in groups]


def _figures(part: People) -> dict[str, object]:
    n, events = part.data.n, int(part.event.sum())
    counts: dict[str, object] = {"n": n, "events": events}
    if events < FEWEST or n - events < FEWEST:
        return {**counts, "note": f"fewer than {FEWEST} with or without the event: no figures"}
    z = float(norm.ppf(0.975))
    try:
        if part.horizon is None:
            area = auc(part.predictor, part.event)
            c, se = area.auc, area.standard_error
            observed, limits = events / n, wilson(events, n)
        else:
            found = concordance(part.predictor, part.time, part.event)
            c, se = found.c, found.standard_error
            km = kaplan_meier(part.time, part.event)
            low, high = km.limits_at(part.horizon)
            observed, limits = 1 - float(km.at(part.horizon)[0]), (1 - high, 1 - low)
    except NoFit as error:
        return {**counts, "note": error.detail}
    expected = float(part.risk.mean())
    return {
        **counts,
        "concordance": {"value": c, "lower": max(0.0, c - z * se), "upper": min(1.0, c + z * se)},
        "observed_to_expected": {
            "value": observed / expected,
            "lower": limits[0] / expected,
            "upper": limits[1] / expected,
        },
    }
