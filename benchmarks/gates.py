"""What the gate makes of each condition: `./run python -m benchmarks.gates [--seeds 10] [--only WORD] [--out PAGE]`.

Every study goes through DICOM files as a stranger's does. With --out the table is written into the page between its
marks; --quick takes two seeds. Each study's row is kept at once (--rows), so that a stopped run goes on; rows of other
seeds, another version of the algorithm or other weights are thrown away. A study takes about 2 seconds of CPU: ten
seeds of all conditions about 10 minutes on two quiet cores. The seeds from 3,000,000 on are for the page; others were
looked at.
"""

import argparse
import math
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.gate_cases import CASES, Case, Outcome
from benchmarks.rows import MADE_BY, Row, add_row, made_by, read_rows, write_rows
from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from schemas.measurement import Measurement
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.simulate.person import draw_person
from vbq.simulate.spine import build_spine
from vbq.simulate.study import PhantomStudy, simulate_study

FIRST_SEED = 3_000_000
ROWS = Path("docs/accuracy/gates.csv")
WRONG = 0.10  # of the truth
BEGIN, END = "<!-- gates: begin -->", "<!-- gates: end -->"
_network: list[Network] = []


@dataclass(frozen=True)
class Result:
    """One phantom through the gate.

    `error` is relative to the truth without the image's noise, as in docs/accuracy.md: what noise adds to small true
    ovals is chance. None where there is no number or no truth.
    """

    case: str
    seed: int
    outcome: Outcome
    codes: tuple[str, ...]
    error: float | None
    shifted: bool
    """A level's region lies on another body."""

    @property
    def silently_wrong(self) -> bool:
        """A wrong level that nobody is asked about, or a wrong number without a word."""
        if self.outcome in ("refused", "confirm"):
            return False
        return self.shifted or (self.outcome == "plain" and self.error is not None and abs(self.error) > WRONG)


def row_of(result: Result) -> Row:
    """A row of the file."""
    return {
        "case": result.case,
        "seed": result.seed,
        "outcome": result.outcome,
        "codes": " ".join(result.codes),
        "error": result.error,
        "shifted": int(result.shifted),
        MADE_BY: made_by(),
    }


def result_of(row: Row) -> Result:
    """The result that a row holds."""
    return Result(
        case=row["case"],
        seed=int(row["seed"]),
        outcome=row["outcome"],
        codes=tuple(row["codes"].split()),
        error=float(row["error"]) if row["error"] else None,
        shifted=row["shifted"] == "1",
    )


def run_case(case: Case, seed: int) -> Result:
    """Simulate, write, read and measure one study."""
    if not _network:
        _network.append(load_network())
    study = simulate_study(case.parameters(seed))
    with tempfile.TemporaryDirectory() as place:
        write_study(study, draw_person(seed), Path(place))
        files = open_study(Path(place))
        found = measure(files.study, files.load_pixels, None, network=_network[0])
    outcome: Outcome
    if found.vbq is None:
        outcome = "refused"
    elif found.status == "needs_confirmation":
        outcome = "confirm"
    else:
        outcome = "flagged" if found.flags else "plain"
    told = found.reasons if outcome in ("refused", "confirm") else found.flags
    truth = study.truth.expected_vbq
    error = found.vbq / truth - 1 if found.vbq is not None and math.isfinite(truth) else None
    return Result(case.name, seed, outcome, tuple(sorted({row.code for row in told})), error, _shifted(found, study))


def _shifted(found: Measurement, study: PhantomStudy) -> bool:
    """Whether a region lies nearer to another body's centre than to that of its own name."""
    conditions = study.parameters.conditions
    if conditions.part == "knee" or conditions.plane == "axial" or found.slice is None:
        return bool(found.levels)
    plane = study.series[0].planes[found.slice.index]
    places = {body.level: plane.pixel_of(body.centre) for body in build_spine(study.parameters).vertebrae}
    return any(
        min(places, key=lambda name: math.dist(places[name], region.ellipse.center)) != level
        for level, region in found.levels.items()
    )


def results(jobs: list[tuple[Case, int]], processes: int) -> Iterator[Result]:
    """All of them, as they are done."""
    context = multiprocessing.get_context("spawn")  # threads of the network's library do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for done in as_completed([pool.submit(run_case, case, seed) for case, seed in jobs]):
            yield done.result()


def run(cases: list[Case], seeds: range, path: Path, processes: int) -> list[Result]:
    """What is in `path` of the same make, and the rest measured; by condition and seed."""
    wanted = {(case.name, seed): case for case in cases for seed in seeds}
    known = {(row["case"], int(row["seed"])): row for row in read_rows(path, made_by())}
    write_rows(path, [row for row in known.values() if int(row["seed"]) in seeds])
    jobs = [(case, seed) for (name, seed), case in wanted.items() if (name, seed) not in known]
    columns = (TextColumn("studies"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(wanted), completed=len(wanted) - len(jobs))
        for result in results(jobs, processes) if jobs else ():
            add_row(path, row_of(result))
            progress.advance(task)
    order = [(case.name, seed) for case in CASES for seed in seeds]
    rows = {(row["case"], int(row["seed"])): row for row in read_rows(path, made_by())}
    write_rows(path, [rows[key] for key in order if key in rows])  # by condition, whichever process was faster
    return [result_of(rows[key]) for key in wanted]


def table(found: list[Result], cases: list[Case]) -> str:
    """The page's table, and a sentence with what must be zero."""
    lines = [
        "| condition | n | refused | to confirm | measured, flagged | measured | error of what is measured, % | said |",
        "|---|---|---|---|---|---|---|---|",
    ]
    against = 0
    for case in cases:
        rows = [row for row in found if row.case == case.name]
        counts = Counter(row.outcome for row in rows)
        against += sum(count for outcome, count in counts.items() if outcome not in case.allowed)
        errors = [row.error for row in rows if row.error is not None and row.outcome in ("flagged", "plain")]
        spread = f"{100 * np.mean(errors):+.1f} (worst {100 * max(map(abs, errors)):.1f})" if errors else ""
        said = ", ".join(
            f"{code} {n}" for code, n in Counter(code for row in rows for code in row.codes).most_common(4)
        )
        numbers = " | ".join(str(counts[name] or "") for name in ("refused", "confirm", "flagged", "plain"))
        lines.append(f"| {case.name} | {len(rows)} | {numbers} | {spread} | {said} |")
    wrong = [row for row in found if row.silently_wrong]
    named = f" ({', '.join(sorted({row.case for row in wrong}))})" if wrong else ""
    text = (
        f"Of {len(found)} studies {len(wrong)} came out wrong without a word{named}: a level on another body that "
        f"nobody is asked to confirm, or a VBQ over {100 * WRONG:.0f} % off without a flag. {against} came out "
        "otherwise than `benchmarks/gate_cases.py` allows."
    )
    return "\n".join([text, "", *lines, ""])


def main() -> None:
    """Print the table; write it into a page if asked."""
    parser = argparse.ArgumentParser(description="What the gate makes of each condition.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--only", default="", help="conditions whose name holds this")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", type=Path, default=ROWS, help="where the rows are kept")
    parser.add_argument("--fresh", action="store_true", help="throw earlier rows away")
    parser.add_argument("--out", type=Path, help="a page with the marks, e.g. docs/suitability.md")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only.lower() in case.name.lower()]
    if not cases:
        parser.error(f"no condition is called so; there are: {', '.join(case.name for case in CASES)}")
    if given.only and given.out:
        parser.error("the page is for all conditions; leave out --only or --out")
    seeds = range(given.first, given.first + (2 if given.quick else given.seeds))
    if given.fresh:
        given.rows.unlink(missing_ok=True)
    found = run(cases, seeds, given.rows, given.processes)
    how = f"Seeds {seeds[0]} to {seeds[-1]}, measured by {made_by()}; the rows are in `{given.rows}`.\n\n"
    made = how + table(found, cases)
    print(made)
    if given.out is not None:
        page = given.out.read_text(encoding="utf-8")
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        given.out.write_text(f"{head}{BEGIN}\n{made}{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
