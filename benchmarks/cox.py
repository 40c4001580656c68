"""Cox fits, bootstrap refits and bulk scoring beside R, lifelines and scikit-survival, in one run.

    ./run python -m benchmarks.cox [--largest N] [--json FILE] [--also FOLDER]

R is used where `Rscript` with the survival package is on the path, the Python libraries where they are installed; what
is absent is reported as absent. Every contender gets the same made-up people, is called once to warm up (compiling does
not count) and then timed; the figure is the median CPU time of the process, so that a busy machine shifts it little.

scikit-survival is no dependency. To have it measured, install it into a throw-away environment of the same Python
(`python -m venv DIR && DIR/bin/pip install scikit-survival`) and name that environment's site-packages with --also.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vbq.cohort.survival import compiled
from vbq.cohort.survival.cox import compiled_problem, fit_cox

NAMES = [f"x{j}" for j in range(6)]
SIZES = (137, 10_000, 100_000, 1_000_000)
REFITS = 1_000

R_SCRIPT = """
suppressMessages(library(survival)); a <- commandArgs(TRUE); d <- read.csv(a[1]); k <- as.integer(a[2])
f <- coxph(Surv(time, event) ~ ., d)
t <- sapply(seq_len(k), function(i) {
  s <- proc.time(); coxph(Surv(time, event) ~ ., d); x <- proc.time() - s; x[1] + x[2] })
cat(median(t), max(abs(coef(f))), "\\n")
if (a[3] == "refits") {
  n <- nrow(d); set.seed(1); s <- proc.time()
  for (i in 1:200) coxph(Surv(time, event) ~ ., d[sample.int(n, n, TRUE), ])
  x <- proc.time() - s; cat((x[1] + x[2]) * 5, "\\n")
}
"""


def on_one_core(module: str) -> None:
    """Start `module` again with one BLAS thread where there are more: idle ones spin, and CPU time would count that."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.execve(
            sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        )


def people(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (n, 6), time, event; about half censored, times to the thousandth so that there are ties."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    T = rng.exponential(np.exp(-X @ np.linspace(0.5, -0.2, 6)))
    C = rng.exponential(1.2, n)
    return X, np.round(np.minimum(T, C), 3) + 0.001, (T <= C).astype(float)


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time of one call after one to warm up."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def ours(X: np.ndarray, t: np.ndarray, e: np.ndarray, engine: str, repeats: int) -> float:
    return cpu_seconds(lambda: fit_cox(X, t, e, NAMES, engine=engine), repeats)


def lifelines_seconds(X: np.ndarray, t: np.ndarray, e: np.ndarray, repeats: int) -> float | None:
    try:
        import pandas as pd
        from lifelines import CoxPHFitter
    except ImportError:
        return None
    frame = pd.DataFrame(X, columns=NAMES).assign(time=t, event=e)
    return cpu_seconds(lambda: CoxPHFitter().fit(frame, "time", "event"), repeats)


def sksurv_seconds(X: np.ndarray, t: np.ndarray, e: np.ndarray, repeats: int) -> float | None:
    try:
        from sksurv.linear_model import CoxPHSurvivalAnalysis
        from sksurv.util import Surv
    except ImportError:
        return None
    y = Surv.from_arrays(e.astype(bool), t)
    if repeats == 1:  # nothing of it is compiled at its first call, so a large cohort is fitted once
        start = time.process_time()
        CoxPHSurvivalAnalysis(ties="efron").fit(X, y)
        return time.process_time() - start
    return cpu_seconds(lambda: CoxPHSurvivalAnalysis(ties="efron").fit(X, y), repeats)


def r_seconds(X: np.ndarray, t: np.ndarray, e: np.ndarray, repeats: int, *, refits: bool) -> tuple[float, float] | None:
    """(seconds a fit, seconds for 1,000 refits or 0), or None without R."""
    program = shutil.which("Rscript")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "people.csv", Path(folder) / "fit.R"
        np.savetxt(
            data, np.column_stack([t, e, X]), delimiter=",", header=",".join(["time", "event", *NAMES]), comments=""
        )
        script.write_text(R_SCRIPT)
        wanted = "refits" if refits else "no"
        done = subprocess.run(
            [program, script, data, str(repeats), wanted], capture_output=True, text=True, check=False, timeout=1800
        )
    if done.returncode:
        return None
    lines = done.stdout.split("\n")
    return float(lines[0].split()[0]), float(lines[1]) if refits else 0.0


def bootstrap_seconds() -> float:
    """1,000 refits of 6 covariates to resamples of 137 people, compiled."""
    fit = fit_cox(*people(137), NAMES)
    rows, rule = compiled_problem(fit.sets, fit.sorted_covariates, 0.0)
    rng = np.random.default_rng(1)
    copies = np.array([np.bincount(rng.integers(0, 137, 137), minlength=137) for _ in range(REFITS)])
    return cpu_seconds(lambda: compiled.refits(rows, copies, rule), 5)


def scoring_rate() -> float:
    """People per second and core whose five-year survival with interval is computed from a fit."""
    X, t, e = people(1000)
    fit = fit_cox(X, t, e, NAMES)
    many = np.random.default_rng(2).normal(size=(1_000_000, 6))
    at = np.array([float(np.median(t))])
    return len(many) / cpu_seconds(lambda: fit.survival(many, at), 3)


def measure(largest: int) -> dict[str, object]:
    """All figures; CPU milliseconds."""
    rows = []
    r_refits = None
    for n in (size for size in SIZES if size <= largest):
        X, t, e = people(n)
        repeats = 21 if n < 1000 else 5 if n <= 100_000 else 1
        r = r_seconds(X, t, e, repeats, refits=n == 137)
        if r is not None and n == 137:
            r_refits = r[1]
        seconds = {
            "compiled": ours(X, t, e, "compiled", repeats),
            "numpy": ours(X, t, e, "numpy", repeats),
            "R coxph": r[0] if r else None,
            "lifelines": lifelines_seconds(X, t, e, min(repeats, 3)),
            "scikit-survival": sksurv_seconds(X, t, e, 3 if n <= 10_000 else 1),
        }
        rows.append({"n": n, **{name: None if s is None else s * 1e3 for name, s in seconds.items()}})
        sys.stderr.write(f"n = {n} done\n")
    refits = bootstrap_seconds()
    return {
        "fit_ms": rows,
        "refits_1000_at_137_ms": {"compiled": refits * 1e3, "R coxph": None if r_refits is None else r_refits * 1e3},
        "scored_per_second": scoring_rate(),
    }


def table(found: dict[str, object]) -> str:
    """Markdown."""
    names = ("compiled", "numpy", "R coxph", "lifelines", "scikit-survival")

    def cell(value: float | None) -> str:
        return "absent" if value is None else f"{value:.3g}"

    lines = ["| n | " + " | ".join(names) + " | R / compiled |", "|---" * (len(names) + 2) + "|"]
    for row in found["fit_ms"]:
        ratio = "" if row["R coxph"] is None else f"{row['R coxph'] / row['compiled']:.1f}"
        lines.append(f"| {row['n']:,} | " + " | ".join(cell(row[name]) for name in names) + f" | {ratio} |")
    refits = found["refits_1000_at_137_ms"]
    below = (
        f"1,000 bootstrap refits of 6 covariates at n = 137: {cell(refits['compiled'])} ms compiled, "
        f"{cell(refits['R coxph'])} ms with R's coxph (200 refits times five). Survival with its interval from a fit: "
        f"{found['scored_per_second'] / 1e6:.1f} million people a second on one core."
    )
    return "\n".join([*lines, "", below])


def goals(found: dict[str, object]) -> list[str]:
    """Each goal, what was measured and whether it is met; Markdown."""
    rows = {row["n"]: row for row in found["fit_ms"]}
    ratios = {n: row["R coxph"] / row["compiled"] for n, row in rows.items() if row["R coxph"] is not None}
    lines = ["| goal | measured | |", "|---|---|---|"]

    def line(goal: str, measured: str, *, met: bool) -> None:
        lines.append(f"| {goal} | {measured} | {'met' if met else 'missed'} |")

    if ratios:
        least = min(ratios, key=lambda n: ratios[n])
        line("3 times R's coxph at every size", f"{ratios[least]:.1f} times at n = {least:,}", met=ratios[least] >= 3)
    if 100_000 in ratios:
        line("5 times R's coxph at n = 100,000", f"{ratios[100_000]:.1f} times", met=ratios[100_000] >= 5)
    rate = found["scored_per_second"] / 1e6
    line("scoring of a million people a second and core", f"{rate:.1f} million", met=rate >= 1)
    refits = found["refits_1000_at_137_ms"]["compiled"] / 1e3
    line("1,000 bootstrap refits at n = 137 in a second", f"{refits:.2f} s", met=refits < 1)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="largest cohort")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--also", type=Path, help="site-packages of another environment, searched after our own")
    options = parser.parse_args()
    if options.also:
        sys.path.append(str(options.also))
    found = measure(options.largest)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    print("\n".join([table(found), "", *goals(found)]))


if __name__ == "__main__":
    on_one_core("benchmarks.cox")
    main()
