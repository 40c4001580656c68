"""The Cox engine beside R on made-up cohorts that are hard to fit, and on the datasets that come with R's survival.

    ./run python -m benchmarks.agreement [--seed S] [--json FILE]

For each cohort and both tie methods: coefficients, standard errors, log-likelihoods, baseline, survival with both
limits at three times, cox.zph, concordance and its standard error, as largest relative differences. R is asked twice:
as it comes (`eps` 1e-9), and with steps until nothing changes (`eps` 1e-15). Needs `Rscript` with survival on the path.
"""

import argparse
import csv
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.agreement_cohorts import Cohort, cohorts
from vbq.cohort.errors import NoFit
from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.zph import proportional_hazards

PROMISE = 1e-6
SCRIPT = Path(__file__).with_name("agreement.R")
PARTS = ("coefficients", "SE", "log-likelihood", "baseline", "survival", "lower", "upper", "cox.zph", "C", "SE of C")


class Row(NamedTuple):
    """One cohort under one tie method: the largest relative difference of each part, or what was refused."""

    name: str
    n: int
    events: int
    ties: str
    default: dict[str, float] | str
    tight: dict[str, float] | str


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative difference over the numbers that R has; nan where it has none."""
    known = ~np.isnan(theirs)
    if not known.any():
        return float("nan")
    a, b = np.asarray(ours, dtype=float)[known], theirs[known]
    return float(np.max(np.abs(a - b) / np.where(b == 0, 1.0, np.abs(b))))


def differences(cohort: Cohort, ties: str, r: dict[str, np.ndarray], engine: str) -> dict[str, float]:
    """Ours beside R's. Raises NoFit."""
    fit = fit_cox(cohort.X, cohort.time, cohort.event, cohort.names, ties=ties, engine=engine)
    people = min(20, len(cohort.X))
    curves = fit.survival(cohort.X[:people], r["times"])
    shape = (len(r["times"]), people)  # R writes people within times
    test = proportional_hazards(fit)
    c = concordance(fit.fitted_predictor, cohort.time, cohort.event)
    zero = float(np.exp(-fit.centre @ fit.coefficients))
    found = {
        "coefficients": worst(fit.coefficients, r["coef"]),
        "SE": worst(fit.standard_errors, r["se"]),
        "log-likelihood": worst(np.array([fit.log_likelihood_null, fit.log_likelihood]), r["loglik"]),
        "baseline": worst(fit.baseline.at(r["bhtime"])[0] * zero, r["bh"]),
        "survival": worst(curves.survival, r["surv"].reshape(shape).T),
        "lower": worst(curves.lower, r["lower"].reshape(shape).T),
        "upper": worst(curves.upper, r["upper"].reshape(shape).T),
        "C": worst(np.array([c.c]), r["C"][:1]),
        "SE of C": worst(np.array([c.standard_error]), r["C"][1:]),
    }
    if "zph" in r:
        found["cox.zph"] = worst(np.array([*test.chi_square, test.global_chi_square]), r["zph"])
    return found


def asked_of_r(folder: Path) -> dict[tuple[str, str, str], dict[str, np.ndarray] | None]:
    """R's answers to every file of a folder, by (cohort, ties, eps); None where R has no fit."""
    program = shutil.which("Rscript")
    if program is None:
        raise SystemExit("Rscript is not on the path; install r-base-core and r-cran-survival")
    done = subprocess.run([program, SCRIPT, folder], capture_output=True, text=True, check=True, timeout=3600)
    answers: dict[tuple[str, str, str], dict[str, np.ndarray] | None] = {}
    for line in done.stdout.splitlines():
        name, ties, eps, part, *values = line.split()
        if part == "failed":
            answers[name, ties, eps] = None
            continue
        numbers = np.array([float("nan") if value == "NA" else float(value) for value in values])
        answers.setdefault((name, ties, eps), {})[part] = numbers
    return answers


def read(path: Path) -> Cohort:
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    values = np.array(rows, dtype=float)
    return Cohort(path.stem, values[:, 2:], values[:, 0], values[:, 1], header[2:])


def compare(seed: int) -> Iterator[Row]:
    """Every cohort of the seed, and R's own datasets."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for cohort in cohorts(seed):
            cohort.write(folder)
        answers = asked_of_r(folder)
        for path in sorted(folder.glob("*.csv")):
            cohort = read(path)
            for ties in ("efron", "breslow"):
                found = [judged(cohort, ties, answers.get((cohort.name, ties, eps))) for eps in ("default", "tight")]
                yield Row(cohort.name, len(cohort.X), int(cohort.event.sum()), ties, *found)


def judged(cohort: Cohort, ties: str, r: dict[str, np.ndarray] | None) -> dict[str, float] | str:
    """The larger difference of both engines, or in words why there is none."""
    if r is None:
        return "R has no fit"
    try:
        one, other = (differences(cohort, ties, r, engine) for engine in ("numpy", "compiled"))
    except NoFit as error:
        return f"refused: {error.detail.partition(':')[0]}"
    return {name: max(one[name], other[name]) for name in one}


def largest(found: dict[str, float] | str) -> float | None:
    return None if isinstance(found, str) else float(np.nanmax(list(found.values())))


def table(rows: list[Row]) -> list[str]:
    """Markdown: one line a cohort and tie method."""
    lines = ["| cohort | n | events | ties | R's default | R, small eps | worst of |", "|---" * 7 + "|"]
    for row in rows:
        cells = [found if isinstance(found, str) else f"{largest(found):.0e}" for found in (row.default, row.tight)]
        part = "" if isinstance(row.tight, str) else max(row.tight, key=lambda name: np.nan_to_num(row.tight[name]))
        lines.append(f"| {row.name} | {row.n:,} | {row.events:,} | {row.ties} | {cells[0]} | {cells[1]} | {part} |")
    return lines


def furthest(rows: list[Row], count: int) -> list[Row]:
    """The rows that lie furthest from R as it comes."""
    return sorted(rows, key=lambda row: -(largest(row.default) or 0.0))[:count]


def summary(rows: list[Row]) -> str:
    """One sentence on all of them."""
    tight = max(value for row in rows if (value := largest(row.tight)) is not None)
    over = sorted({row.name for row in rows if (value := largest(row.default)) is not None and value >= PROMISE})
    refused = sorted({row.name for row in rows if isinstance(row.tight, str)})
    names = len({row.name for row in rows})
    what = f"{len(rows)} comparisons ({names} cohorts, two tie methods, the larger difference of both engines)"
    parts = [
        f"{what}: at most {tight:.0e} from R with a small `eps`",
        f"beyond 1e-6 of R as it comes: {', '.join(over) or 'none'}",
    ]
    if over and tight < PROMISE:
        parts[-1] += ", where R had stopped early: with a small `eps` the difference is gone"
    if refused:
        parts.append(f"not compared because one of the two has no fit: {', '.join(refused)}")
    return "; ".join(parts) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write every difference here")
    options = parser.parse_args()
    rows = list(compare(options.seed))
    if options.json:
        document: list[dict[str, Any]] = [row._asdict() for row in rows]
        options.json.write_text(json.dumps(document, indent=2))
    print("\n".join([*table(rows), "", summary(rows)]))


if __name__ == "__main__":
    main()
