"""What the gate makes of each condition: `./run python -m benchmarks.gates [--seeds 10] [--only WORD] [--out PAGE]`.

Every study goes through DICOM files as a stranger's does. With --out the table is written into the page between its
marks; --quick takes two seeds. The seeds from 3,000,000 on are for the page; others were looked at.
"""

import argparse
import math
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gate_cases import CASES, Case, Outcome
from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from schemas.measurement import Measurement
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.simulate.person import draw_person
from vbq.simulate.spine import build_spine
from vbq.simulate.study import PhantomStudy, simulate_study

FIRST_SEED = 3_000_000
WRONG = 0.10  # of the truth
BEGIN, END = "<!-- gates: begin -->", "<!-- gates: end -->"
_network: list[Network] = []


@dataclass(frozen=True)
class Result:
    """One phantom through the gate. `error` is relative; None where there is no number or no truth."""

    case: str
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
    truth = study.truth.vbq
    error = found.vbq / truth - 1 if found.vbq is not None and math.isfinite(truth) else None
    return Result(case.name, outcome, tuple(sorted({row.code for row in told})), error, _shifted(found, study))


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


def results(cases: list[Case], seeds: range, processes: int) -> Iterator[Result]:
    """All of them, in order."""
    context = multiprocessing.get_context("spawn")
    jobs = [(case, seed) for case in cases for seed in seeds]
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(run_case, *zip(*jobs, strict=True))


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
    parser.add_argument("--out", type=Path, help="a page with the marks, e.g. docs/suitability.md")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only.lower() in case.name.lower()]
    if not cases:
        parser.error(f"no condition is called so; there are: {', '.join(case.name for case in CASES)}")
    seeds = range(given.first, given.first + (2 if given.quick else given.seeds))
    made = table(list(results(cases, seeds, given.processes)), cases)
    print(made)
    if given.out is not None:
        page = given.out.read_text(encoding="utf-8")
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        given.out.write_text(f"{head}{BEGIN}\n{made}{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
