"""Regenerate docs/statistics.md: agreement with R, check values, a synthetic cohort, simulations, benchmarks.

    ./run python -m benchmarks.statistics_doc [--quick] [--also FOLDER] [--resume]

--quick leaves out cohorts above 1e4 and does a tenth of the replicates; its page says so. Each section is kept below
var/ as soon as it is done; --resume takes those of an earlier run with the same --quick that was cut short, and does
the rest. --also names the site-packages that hold scikit-survival. Sections that want R say so where there is none.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import cox as cox_benchmark
from benchmarks.agreement import compare, furthest, summary, table
from benchmarks.statistics_simulations import coverage, type_one_error, visit_times
from vbq.cohort.data.reading import read_table
from vbq.cohort.data.standard import standard_cohort
from vbq.cohort.report import paper
from vbq.cohort.report.analysis import analyse
from vbq.cohort.report.document import BLOCKS, MARKERS, cell, p_text, ratio_text
from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.zph import proportional_hazards
from vbq.risk.published import build
from vbq.risk.score import Stated, predict
from vbq.simulate.cohort import simulate_cohort

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "reference_r"
OUT = ROOT / "docs" / "statistics.md"
STATE = ROOT / "var" / "statistics_doc"
SEED = 7
# risk, lower, upper in percent, from the clinical method
CHECK_VALUES = (
    ((3.5, -1.0), (13.7, 9.0, 20.5)),
    ((4.26, -2.48), (29.9, 22.9, 38.5)),
    ((4.62, -3.4), (43.6, 33.0, 55.9)),
    ((5.5, -4.0), (69.0, 49.1, 86.9)),
    ((5.5, -1.0), (40.2, 22.0, 65.6)),
)


BELOW = {
    "Agreement with R": "Largest relative differences from R 4.2 with survival 3.5.3 (tests/golden/reference_r). "
    "The promise is 1e-6. Limits are those of survfit's default, symmetric in log S.",
    "Harder cohorts": "Made-up cohorts with heavy ties, rare levels, large effects, few people, odd scales, nearly "
    "collinear columns, and the datasets of R's survival (`./run python -m benchmarks.agreement`): coefficients, SE, "
    "log-likelihoods, baseline, survival with both limits, cox.zph, concordance and its SE, as relative differences.",
    "Check values of lin2025-vbq-t": "Risk within five years with its 95 % interval.",
    "The paper's tables from a synthetic cohort": "`vbq simulate cohort --n 137 --seed 1`: women who do not exist, "
    "whose analysis gives the published figures.",
    "Simulations": "Truth known, 95 % intervals nominal. The error after ± is that of the simulation.",
    "Benchmarks": "CPU milliseconds to fit 6 covariates, medians, one core (`./run python -m benchmarks.cox`). "
    "The commands with a file of a million people: `./run python -m benchmarks.cohort_scale`.",
}


def numbers(name: str, labels: int = 0) -> tuple[list[str], np.ndarray]:
    with (GOLDEN / name).open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return header, np.array([[float(cell_) for cell_ in row[labels:]] for row in rows])


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest relative difference."""
    scale = np.where(theirs == 0, 1.0, np.abs(theirs))
    return float(np.max(np.abs(ours - theirs) / scale))


def agreement() -> list[str]:
    """One row for each dataset and tie method."""
    lines = [
        "| data | ties | coefficients | SE | baseline | survival | lower limit | cox.zph | C (7 digits) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("gbsg", "lung", "pbc", "rossi"):
        header, rows = numbers(f"{name}.csv")
        X, time, event = rows[:, 2:], rows[:, 0], rows[:, 1]
        for ties in ("efron", "breslow"):
            fit = fit_cox(X, time, event, header[2:], ties=ties)
            _, b = numbers(f"{name}_{ties}_coef.csv", 1)
            _, s = numbers(f"{name}_{ties}_surv.csv")
            curves = fit.survival(X[:20], s[:, 0])
            gaps = [worst(fit.coefficients, b[:, 0]), worst(fit.standard_errors, b[:, 1])]
            after = worst(curves.survival.T, s[:, 1:])
            rest = ["not given"] * 4
            if ties == "efron":
                _, base = numbers(f"{name}_efron_bh.csv")
                zero = float(np.exp(-fit.centre @ fit.coefficients))
                _, low = numbers(f"{name}_efron_lower.csv")
                _, z = numbers(f"{name}_efron_zph.csv", 1)
                test = proportional_hazards(fit)
                c = concordance(fit.fitted_predictor, time, event).c
                printed = float((GOLDEN / f"{name}_efron_C.txt").read_text())
                rest = [
                    f"{worst(fit.baseline.at(base[:, 1])[0] * zero, base[:, 0]):.0e}",
                    f"{worst(curves.lower.T, low[:, 1:]):.0e}",
                    f"{worst(np.array([*test.chi_square, test.global_chi_square]), z[:, 0]):.0e}",
                    "same" if abs(c - printed) < 5.1e-8 else f"{c - printed:.1e}",
                ]
            cells = [name, ties, *(f"{gap:.0e}" for gap in gaps), rest[0], f"{after:.0e}", *rest[1:]]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


DEFAULT_STEPS = """
suppressMessages(library(survival))
options(warn = -1)
for (name in c("gbsg", "lung", "pbc", "rossi")) {
  d <- read.csv(file.path(commandArgs(TRUE)[1], paste0(name, ".csv")))
  f <- reformulate(setdiff(names(d), c("time", "status")), "Surv(time, status)")
  a <- coxph(f, d); b <- coxph(f, d, control = coxph.control(eps = 1e-15, iter.max = 50))
  worst <- function(x, y) max(abs(x / y - 1))
  cat(name, a$iter, worst(coef(a), coef(b)), worst(sqrt(diag(vcov(a))), sqrt(diag(vcov(b)))), "\\n")
}
"""


def default_steps() -> list[str]:
    """R against itself: coxph as it comes, and with steps until nothing changes any more."""
    about = (
        "R's `coxph` stops when a step changes the log-likelihood by less than 1e-9 of itself (`eps` of "
        "`coxph.control`). Ours goes on until a step changes nothing, as R does with a smaller `eps`; the reference "
        "files agree with that. Against R with its defaults one sees how far from the solution R stopped, still within "
        "1e-6:"
    )
    program = shutil.which("Rscript")
    if program is None:
        return ["", about, "", "(Rscript is not on the path here: not measured.)"]
    done = subprocess.run([program, "-", str(GOLDEN)], input=DEFAULT_STEPS, capture_output=True, text=True, check=True)
    lines = ["", about, "", "| data | iterations | coefficients | SE |", "|---|---|---|---|"]
    for row in done.stdout.splitlines():
        name, iterations, coefficients, errors = row.split()
        lines.append(f"| {name} | {iterations} | {float(coefficients):.0e} | {float(errors):.0e} |")
    return lines


def check_values() -> list[str]:
    """The published model at five women."""
    model = build()
    lines = ["| VBQ | T-score | risk by the model, % | to be |", "|---|---|---|---|"]
    for (vbq, t), (risk, low, high) in CHECK_VALUES:
        found = predict(model, {"vbq": Stated(vbq, "1"), "t_score": Stated(t, "{T-score}")})
        ours = f"{100 * found.risk:.1f} ({100 * found.lower:.1f}-{100 * found.upper:.1f})"
        lines.append(f"| {vbq} | {t} | {ours} | {risk} ({low}-{high}) |")
    return lines


def synthetic_tables(seed: int) -> list[str]:
    """Tables 1 and 2 and the ROC curves of a simulated cohort beside the paper's."""
    a = analyse(standard_cohort(read_table(simulate_cohort(137, seed).csv(), "a synthetic cohort")), 500, 1)
    lines = ["| | with the event | published | without | published | p | published |", "|---" * 7 + "|"]
    for row in a.table1:
        printed = paper.TABLE1.get(row.name, ("",) * 4)
        p = p_text(row.p) if row.p is not None else ""
        cells = [row.label, cell(row, row.event), printed[1], cell(row, row.no_event), printed[2], p, printed[3]]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| hazard ratio | synthetic, Cox | published | synthetic, current status |", "|---|---|---|---|"]
    for block, rows in a.cox.items():
        for marker, ratio in rows.items():
            status = ratio_text(a.current_status[block][marker]) if a.current_status else "not visit times"
            printed_ratio = paper.COX[block][marker][0]
            lines.append(f"| {BLOCKS[block]}: {MARKERS[marker]} | {ratio_text(ratio)} | {printed_ratio} | {status} |")
    lines += ["", "| ROC curve | AUC | published | cut-off | published |", "|---|---|---|---|---|"]
    for name, curve in a.roc.items():
        area = f"{curve.area.auc:.3f} ({curve.area.lower:.2f}-{curve.area.upper:.2f})"
        lines.append(f"| {name} | {area} | {paper.ROC[name][0]} | {curve.cutoff:.3f} | {paper.ROC[name][1]} |")
    lines += ["", "| model | C | C corrected | slope corrected |", "|---|---|---|---|"]
    for title, fitted, optimism in a.models:
        if optimism:
            c, slope = optimism.corrected.concordance, optimism.corrected.slope
            lines.append(f"| {title} | {fitted.concordance:.3f} | {c:.3f} | {slope:.2f} |")
    correlation = a.correlation.r if a.correlation else float("nan")
    return [*lines, "", f"Correlation of VBQ and T-score: r = {correlation:.3f} (published, without its sign: 0.4)."]


def simulations(scale: float) -> list[str]:
    """Coverage, type-I error, and current status against visit times."""
    lines = ["Coverage of the 95 % interval of a predicted five-year risk (n = 400):", ""]
    lines += [f"- {name}: {share}" for name, share in coverage(round(2000 * scale)).items()]
    lines += ["", "Rejections at 5 % by the proportional-hazards test where hazards are proportional (n = 300):", ""]
    lines += [f"- {name}: {share}" for name, share in type_one_error(round(4000 * scale)).items()]
    for truth in ((2.08, 0.60), (1.87, 0.76)):
        r = visit_times(round(1000 * scale), truth)
        about = (
            f"Women seen once after five years or later (n = 137, {r.replicates} replicates); true hazard ratios "
            f"{truth[0]} and {truth[1]}, true five-year risk at the mean {100 * (1 - np.exp(-5 * 0.062)):.1f} %:"
        )
        lines += [
            "",
            about,
            "",
            "| analysis | HR of VBQ | HR of T-score | five-year risk at the mean |",
            "|---|---|---|---|",
        ]
        for name, (a, b) in r.ratios.items():
            lines.append(f"| {name} | {a:.2f} | {b:.2f} | {100 * r.risk[name]:.1f} % |")
    return lines


def harder() -> list[str]:
    """Cohorts that were made to be hard, and R's own datasets."""
    if shutil.which("Rscript") is None:
        return ["(Rscript is not on the path here: not measured.)"]
    rows = list(compare(SEED))
    return [summary(rows), "", "The ten that lie furthest from R as it comes:", "", *table(furthest(rows, 10))]


def benchmarks(largest: int) -> list[str]:
    found = cox_benchmark.measure(largest)
    return [cox_benchmark.table(found), "", *cox_benchmark.goals(found)]


class Kept:
    """Sections that are done, in a file that outlives a run which is cut short."""

    def __init__(self, *, quick: bool, resume: bool) -> None:
        self.file = STATE / ("quick.json" if quick else "full.json")
        self.sections: dict[str, list[str]] = {}
        if resume and self.file.exists():
            self.sections = json.loads(self.file.read_text(encoding="utf-8"))

    def section(self, title: str, work: Callable[[], list[str]]) -> list[str]:
        """The lines of a section: kept, or made now."""
        if title in self.sections:
            sys.stderr.write(f"{title}: kept from an earlier run\n")
            return self.sections[title]
        sys.stderr.write(f"{title} ...\n")
        start = time.monotonic()
        self.sections[title] = work()
        sys.stderr.write(f"    {time.monotonic() - start:.0f} s\n")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.sections), encoding="utf-8")
        return self.sections[title]


def page(*, quick: bool, resume: bool = False) -> str:
    """The whole page."""
    scale = 0.1 if quick else 1.0
    parts: list[tuple[str, list[str]]] = []
    kept = Kept(quick=quick, resume=resume)
    for title, work in (
        ("Agreement with R", lambda: [*agreement(), *default_steps()]),
        ("Harder cohorts", harder),
        ("Check values of lin2025-vbq-t", check_values),
        ("The paper's tables from a synthetic cohort", lambda: synthetic_tables(1)),
        ("Simulations", lambda: simulations(scale)),
        ("Benchmarks", lambda: benchmarks(10_000 if quick else 1_000_000)),
    ):
        parts.append((title, kept.section(title, work)))
    text = dict(parts)
    head = [
        "# Statistics: what was checked",
        "",
        "Written by `./run python -m benchmarks.statistics_doc`, not by hand.",
    ]
    if quick:
        head.append("This page was made with --quick: fewer replicates and smaller cohorts than a full run.")
    body = [line for title, lines in text.items() for line in ("", f"## {title}", "", BELOW[title], "", *lines)]
    return "\n".join([*head, *body]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--also", type=Path, help="site-packages with scikit-survival, searched after our own")
    parser.add_argument("--resume", action="store_true", help="take the finished sections of a run that was cut short")
    options = parser.parse_args()
    if options.also:
        sys.path.append(str(options.also))
    OUT.write_text(page(quick=options.quick, resume=options.resume), encoding="utf-8")
    sys.stderr.write(f"written to {OUT.relative_to(ROOT)}\n")


if __name__ == "__main__":
    cox_benchmark.on_one_core("benchmarks.statistics_doc")
    main()
