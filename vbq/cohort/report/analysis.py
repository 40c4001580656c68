"""The analyses of the paper on a cohort, as far as its columns allow."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from vbq.cohort.arrays import Bools, Floats
from vbq.cohort.building.flow import Flow
from vbq.cohort.data.dictionary import COLUMNS, label_of
from vbq.cohort.data.standard import DXA_ORDER, Cohort, bone_status
from vbq.cohort.describe import Comparison, Correlation, compare_categories, compare_number, correlate
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Data, Fitted, Request, fit_data
from vbq.cohort.roc import Roc, roc
from vbq.cohort.survival.cox import CoxFit
from vbq.cohort.survival.current_status import CurrentStatusFit, fit_current_status
from vbq.cohort.survival.kaplan_meier import KaplanMeier, kaplan_meier, log_rank
from vbq.cohort.validation.optimism import Optimism, cox_optimism
from vbq.cohort.visit_times import VisitTimes, look_for_visit_times

MARKERS = ("vbq", "t_score", "history_vf")
ADJUST = ("age", "weight", "crcl", "alp")
EVERYTHING = ("age", "weight", "calcium", "phosphorus", "uric_acid", "crcl", "alp", "glucose", *MARKERS)
MODELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("VBQ and T-score", ("vbq", "t_score")),
    ("adjusted, VBQ and T-score", (*ADJUST, "vbq", "t_score")),
    ("every covariate", EVERYTHING),
)
Ratio = dict[str, float]


@dataclass
class Analysis:
    """What was found; empty parts were not possible, and `warnings` says why."""

    cohort: Cohort
    visits: VisitTimes
    table1: list[Comparison] = field(default_factory=list)
    correlation: Correlation | None = None
    roc: dict[str, Roc] = field(default_factory=dict)
    cox: dict[str, dict[str, Ratio]] = field(default_factory=dict)
    current_status: dict[str, dict[str, Ratio]] = field(default_factory=dict)
    curves: list[tuple[str, str, KaplanMeier]] = field(default_factory=list)
    "(what splits, group, curve)"
    log_rank: dict[str, tuple[float, float]] = field(default_factory=dict)
    models: list[tuple[str, Fitted, Optimism | None]] = field(default_factory=list)
    levels: dict[str, int] = field(default_factory=dict)
    flow: list[tuple[str, int]] = field(default_factory=list)
    built: Flow | None = None
    "who fell out before the file, where `vbq cohort build` made it"
    warnings: list[str] = field(default_factory=list)


def ratios(fit: CoxFit | CurrentStatusFit) -> dict[str, Ratio]:
    """Hazard ratio, 95 % limits and p of each covariate."""
    z = float(norm.ppf(0.975))
    rows = zip(fit.names, fit.coefficients, fit.standard_errors, fit.p_values, strict=True)
    return {
        name: {
            "hr": float(np.exp(b)),
            "lower": float(np.exp(b - z * se)),
            "upper": float(np.exp(b + z * se)),
            "p": float(p),
            "coef": float(b),
            "se": float(se),
        }
        for name, b, se, p in rows
    }


def analyse(cohort: Cohort, replicates: int, seed: int, built: Flow | None = None) -> Analysis:
    """Everything, in the paper's order. replicates: bootstrap resamples for optimism, 0 for none."""
    notes = [*cohort.notes, *(built.notes if built is not None else ())]
    a = Analysis(cohort, look_for_visit_times(cohort.time, cohort.event), warnings=notes, built=built)
    a.flow = [("rows in the file", cohort.rows_read), ("with outcome and follow-up", cohort.n)]
    status, notes = bone_status(cohort)
    a.warnings += notes
    if a.visits.recognised:
        a.warnings.append(a.visits.sentence)
    describe(a, status)
    curves_of_markers(a, status)
    regressions(a)
    survival_curves(a, status)
    count_levels(a)
    for title, names in MODELS:
        if cohort.has(*names):
            model_of(a, title, names, replicates, seed)
    a.flow.append(("with the event", int(cohort.event.sum())))
    return a


def describe(a: Analysis, status: list[str | None] | None) -> None:
    """Table 1."""
    for column in COLUMNS:
        if not a.cohort.has(column.name) or column.name == "event":
            continue
        if column.kind in {"number", "time"}:
            x = a.cohort.numbers(column.name)
            a.table1.append(compare_number(column.name, column.label, column.unit, x, a.cohort.event))
        elif column.kind == "yes-no":
            x = a.cohort.numbers(column.name)
            words = [None if np.isnan(v) else "yes" if v == 1 else "no" for v in x]
            a.table1.append(compare_categories(column.name, column.label, words, a.cohort.event, ("no", "yes")))
        elif column.kind == "category" and column.name != "dxa_category":
            values = a.cohort.text(column.name)
            a.table1.append(compare_categories(column.name, column.label, values, a.cohort.event, column.categories))
    if status is not None:
        a.table1.append(compare_categories("dxa_category", "DXA category", status, a.cohort.event, DXA_ORDER))


def curves_of_markers(a: Analysis, status: list[str | None] | None) -> None:
    """Correlation and ROC curves."""
    c = a.cohort
    vbq = c.numbers("vbq") if c.has("vbq") else None
    t = c.numbers("t_score") if c.has("t_score") else None
    history = c.numbers("history_vf") if c.has("history_vf") else None
    if vbq is not None and t is not None:
        attempt(a, "correlation of VBQ and T-score", functools.partial(relate, a, t, vbq))
    porous = None if status is None else np.array([np.nan if s is None else float(s == "osteoporosis") for s in status])
    wanted: list[tuple[str, Floats | None, Floats | None, bool]] = [
        ("vbq_osteoporosis", vbq, porous, False),
        ("vbq_prior_vf", vbq, history, False),
        ("t_prior_vf", t, history, True),
    ]
    for name, marker, condition, falling in wanted:
        if marker is None or condition is None:
            a.warnings.append(f"no ROC curve {name}: the file lacks a column for it")
            continue
        both = ~(np.isnan(marker) | np.isnan(condition))
        values = (marker[both], condition[both] == 1)
        attempt(a, f"ROC curve {name}", functools.partial(one_curve, a, name, values, falling))


def relate(a: Analysis, t_score: Floats, vbq: Floats) -> None:
    """VBQ against T-score."""
    a.correlation = correlate(t_score, vbq)


def one_curve(a: Analysis, name: str, values: tuple[Floats, Bools], falling: bool) -> None:
    """One ROC curve of (marker, condition)."""
    a.roc[name] = roc(*values, falling=falling)


def complete(cohort: Cohort, names: Sequence[str]) -> Data:
    """Rows with all of `names`. Raises NoFit where there are none."""
    X = np.column_stack([cohort.numbers(name) for name in names])
    kept: Bools = np.asarray(~np.isnan(X).any(axis=1), dtype=np.bool_)
    if not kept.any():
        raise NoFit(f"no row has all of {', '.join(names)}")
    return Data(X[kept], cohort.time[kept], cohort.event[kept], kept, None)


def regressions(a: Analysis) -> None:
    """Table 2: unadjusted, adjusted for age, weight, clearance and ALP, and VBQ and T-score together."""
    jobs: list[tuple[str, str, tuple[str, ...]]] = [("unadjusted", m, (m,)) for m in MARKERS]
    jobs += [("adjusted", m, (*ADJUST, m)) for m in ("vbq", "t_score")]
    jobs += [("mutual", m, ("vbq", "t_score")) for m in ("vbq", "t_score")]
    for block, marker, names in jobs:
        a.cox.setdefault(block, {})
        absent = [name for name in names if not a.cohort.has(name)]
        if absent:
            a.warnings.append(f"no {block} hazard ratio of {marker}: the file lacks {', '.join(absent)}")
            continue
        attempt(a, f"{block} hazard ratio of {marker}", functools.partial(one_ratio, a, block, marker, names))


def one_ratio(a: Analysis, block: str, marker: str, names: tuple[str, ...]) -> None:
    """One cell of Table 2, by Cox and, for visit times, by the current-status model beside it."""
    data = complete(a.cohort, names)
    fitted = fit_data(data, Request("follow_up", "event", names))
    a.cox[block][marker] = {**ratios(fitted.fit)[marker], "n": float(data.n)}
    if data.n < a.cohort.n:
        note = f"{a.cohort.n - data.n} rows are left out of the {block} model of {marker} for missing values"
        if note not in a.warnings:
            a.warnings.append(note)
    if a.visits.recognised:
        other = fit_current_status(data.X, data.time, data.event, names)
        a.current_status.setdefault(block, {})[marker] = ratios(other)[marker]


def survival_curves(a: Analysis, status: list[str | None] | None) -> None:
    """Kaplan-Meier of everybody, by DXA class, by history and by VBQ above its cut-off for osteoporosis."""
    c = a.cohort
    a.curves.append(("everybody", "all", kaplan_meier(c.time, c.event)))
    splits: list[tuple[str, list[str | None]]] = []
    if status is not None:
        splits.append(("DXA category", status))
    if c.has("history_vf"):
        yes = c.numbers("history_vf")
        splits.append(("history of VF", [None if np.isnan(v) else "yes" if v == 1 else "no" for v in yes]))
    if "vbq_osteoporosis" in a.roc:
        cut = a.roc["vbq_osteoporosis"].cutoff
        over = f"above {cut:.2f}"
        splits.append(("VBQ", [None if np.isnan(v) else over if v > cut else "up to it" for v in c.numbers("vbq")]))
    for title, groups in splits:
        text = np.array([value or "" for value in groups])
        present = [level for level in (*DXA_ORDER, *np.unique(text)) if level and (text == level).any()]
        present = list(dict.fromkeys(str(level) for level in present))
        for level in present:
            a.curves.append((title, level, kaplan_meier(c.time[text == level], c.event[text == level])))
        rows = text != ""
        if len(present) > 1 and c.event[rows].any():
            numbers = np.searchsorted(np.array(sorted(present)), text[rows]).astype(np.int64)
            a.log_rank[title] = log_rank(c.time[rows], c.event[rows], numbers)


def count_levels(a: Analysis) -> None:
    """Vertebral levels of incident fractures, from a column such as 'T12;L1'."""
    name = next((n for n in a.cohort.table.columns if n.casefold() in {"fracture_levels", "levels"}), None)
    if name is None:
        a.warnings.append("no distribution of fractured levels: the file has no column fracture_levels (e.g. T12;L1)")
        return
    for cell in a.cohort.table.text(name):
        for part in (cell or "").replace(",", ";").split(";"):
            if part.strip():
                a.levels[part.strip().upper()] = a.levels.get(part.strip().upper(), 0) + 1


def model_of(a: Analysis, title: str, names: tuple[str, ...], replicates: int, seed: int) -> None:
    """One multivariable model with its optimism."""

    def work() -> None:
        data = complete(a.cohort, names)
        fitted = fit_data(data, Request("follow_up", "event", names))
        optimism = None
        if replicates and isinstance(fitted.fit, CoxFit):
            horizon = float(np.median(data.time[data.event]))
            optimism = cox_optimism(fitted.fit, horizon, replicates, seed)
        a.models.append((title, fitted, optimism))
        a.warnings.append(f"{title} ({', '.join(label_of(n) for n in names)}): {fitted.adequacy.sentence}")

    attempt(a, f"model '{title}'", work)


def attempt(a: Analysis, what: str, work: Callable[[], None]) -> None:
    """Do one part; where the data refuse, say so in the report instead of losing all of it."""
    try:
        work()
    except NoFit as error:
        a.warnings.append(f"no {what}: {error.detail}")
