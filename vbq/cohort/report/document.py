"""report.json and report.html out of one analysis."""

from collections.abc import Mapping
from typing import Any

from vbq.cohort.describe import Comparison
from vbq.cohort.report import paper
from vbq.cohort.report.analysis import Analysis
from vbq.cohort.report.figures import ROC_TITLES, figures_of, p_text

BLOCKS = {
    "unadjusted": "Unadjusted",
    "adjusted": "Adjusted for age, weight, creatinine clearance and ALP",
    "mutual": "VBQ and T-score together",
}
PRINTED_UNITS = {"1": "", "{T-score}": "", "a": "years", "umol/L": "µmol/L"}
MARKERS = {"vbq": "VBQ score, per point", "t_score": "DXA T-score, per unit", "history_vf": "History of VF"}


def document_of(a: Analysis) -> dict[str, Any]:
    """The machine-readable report."""
    return {
        "source": a.cohort.table.source,
        "n": a.cohort.n,
        "events": int(a.cohort.event.sum()),
        "flow": [{"step": step, "n": count} for step, count in a.flow],
        "built": a.built.model_dump(mode="json") if a.built is not None else None,
        "table1": {row.name: row.as_dict() for row in a.table1},
        "correlation": a.correlation.as_dict() if a.correlation else None,
        "roc": {name: curve.as_dict() for name, curve in a.roc.items()},
        "cox": a.cox,
        "current_status": a.current_status,
        "visit_times": a.visits.recognised,
        "kaplan_meier": {
            what: {
                "log_rank": {"chi_square": a.log_rank[what][0], "p": a.log_rank[what][1]}
                if what in a.log_rank
                else None,
                "groups": {
                    group: {"n": int(curve.at_risk[0]), "events": int(curve.events.sum())}
                    for title, group, curve in a.curves
                    if title == what
                },
            }
            for what in dict.fromkeys(title for title, _, _ in a.curves)
        },
        "levels": a.levels or None,
        "models": [
            {
                "title": title,
                "covariates": list(fitted.request.covariates),
                "ph_test": fitted.ph_test,
                "concordance": fitted.concordance,
                "optimism": optimism.as_dict() if optimism else None,
                "replicates": optimism.replicates if optimism else 0,
                "sample_size": {
                    "wanted": list(fitted.adequacy.wanted),
                    "adequate": fitted.adequacy.adequate,
                    "parameters_supported": list(fitted.adequacy.parameters_supported),
                },
            }
            for title, fitted, optimism in a.models
        ],
        "paper": paper_document(a),
        "warnings": [*a.warnings, *paper_sentences(a)],
    }


def paper_document(a: Analysis) -> dict[str, Any]:
    """The published figures and the contradictions among them, each with this cohort's own number."""
    return {
        "table1": {name: list(row) for name, row in paper.TABLE1.items()},
        "cox": {block: {name: list(row) for name, row in rows.items()} for block, rows in paper.COX.items()},
        "roc": {name: list(row) for name, row in paper.ROC.items()},
        "correlation": paper.CORRELATION,
        "contradictions": [{**c.as_dict(), "here": here(a, c.path)} for c in paper.CONTRADICTIONS],
    }


def paper_sentences(a: Analysis) -> list[str]:
    """Both numbers of every contradiction, and the cohort's own."""
    rows = [(c, here(a, c.path)) for c in paper.CONTRADICTIONS]
    return [
        f"the paper contradicts itself: {c.topic}: {c.printed}, but {c.instead} ({c.why})"
        + (f"; here {own}" if own else "")
        for c, own in rows
    ]


def here(a: Analysis, path: str) -> str | None:
    """The number of this cohort for a contradiction, in words."""
    part, _, rest = path.partition(".")
    if part == "table1":
        row = next((row for row in a.table1 if row.name == rest), None)
        if row is None:
            return None
        return f"{cell(row, row.total)}; {p_text(row.p)}" if row.p is not None else cell(row, row.total)
    if part == "roc" and rest in a.roc:
        curve = a.roc[rest]
        return f"cut-off {curve.cutoff:.3f}: sensitivity {curve.sensitivity:.2f}, specificity {curve.specificity:.2f}"
    if part == "cox":
        block, _, marker = rest.partition(".")
        ratio = a.cox.get(block, {}).get(marker)
        return ratio_text(ratio) if ratio else None
    if part == "correlation" and a.correlation:
        return f"r = {a.correlation.r:.3f}"
    return None


def ratio_text(ratio: Mapping[str, float]) -> str:
    """'2.29 (1.58-3.32)'."""
    return f"{ratio['hr']:.2f} ({ratio['lower']:.2f}-{ratio['upper']:.2f})"


def cell(row: Comparison, summary: Mapping[str, Any]) -> str:
    """One cell of Table 1."""
    if not summary.get("n"):
        return "no rows"
    if row.kind == "number":
        sd = summary["sd"]
        digits = 1 if abs(summary["mean"]) >= 20 else 2
        return f"{summary['mean']:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")
    shown = {level: f"{n} ({summary['percent'][level]:.1f} %)" for level, n in summary["counts"].items()}
    if set(shown) <= {"yes", "no"}:
        return shown.get("yes", "0 (0.0 %)")
    return "; ".join(f"{level} {text}" for level, text in shown.items())


def median_text(row: Comparison) -> str:
    """Median and quartiles of everybody."""
    t = row.total
    return f"{t['median']:.2f} ({t['q1']:.2f} to {t['q3']:.2f})" if row.kind == "number" and t.get("n") else ""


def html_of(a: Analysis, template: str, made: str) -> str:
    """One page that stands alone. template: the package's report.html; made: a sentence on version and date."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    document = document_of(a)
    table1 = [
        {
            "label": row.label,
            "unit": PRINTED_UNITS.get(row.unit, row.unit),
            "total": cell(row, row.total),
            "event": cell(row, row.event),
            "no_event": cell(row, row.no_event),
            "p": p_text(row.p) if row.p is not None else "not tested",
            "smd": f"{row.smd:.2f}" if row.smd is not None else "",
            "median": median_text(row),
            "missing": row.missing,
            "paper": paper.TABLE1.get(row.name),
        }
        for row in a.table1
    ]
    table2 = [
        {
            "block": BLOCKS[block],
            "marker": MARKERS[marker],
            "ratio": ratio_text(ratio),
            "p": p_text(ratio["p"]),
            "paper": paper.COX.get(block, {}).get(marker),
            "status": ratio_text(a.current_status[block][marker])
            if marker in a.current_status.get(block, {})
            else None,
        }
        for block, rows in a.cox.items()
        for marker, ratio in rows.items()
    ]
    curves = [{"title": ROC_TITLES[name], "row": curve, "paper": paper.ROC.get(name)} for name, curve in a.roc.items()]
    return environment.from_string(template).render(
        d=document, table1=table1, table2=table2, curves=curves, figures=figures_of(a), made=made, analysis=a
    )
