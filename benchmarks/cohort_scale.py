"""A large cohort file through the analysts' commands: time and memory of each.

    ./run python -m benchmarks.cohort_scale [--n 1000000] [--bootstrap 20]

Each command is a process of its own, as an analyst starts it; the cohort is synthetic.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SIX = "vbq,t_score,age,weight,crcl,alp"


class Cost(NamedTuple):
    """Of one process: seconds by the clock and of the processor, most memory in MB."""

    wall: float
    cpu: float
    memory_mb: float


def cost_of(arguments: list[str], folder: Path) -> Cost:
    """Run `vbq` with the arguments in a folder. Raises SystemExit where it fails."""
    start = time.monotonic()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "commands", *arguments],
        {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, stream, str(folder / "said.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for stream in (1, 2)
        ],
    )
    _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"vbq {' '.join(arguments[:2])} failed: {(folder / 'said.txt').read_text()[-500:]}")
    return Cost(time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def steps(n: int, bootstrap: int, folder: Path) -> list[tuple[str, list[str]]]:
    """(what it is called here, arguments) in their order."""
    data, cox, status = (str(folder / name) for name in ("cohort.csv", "cox.json", "status.json"))
    columns = ["--time", "follow_up", "--event", "event", "--covariates", SIX, "--time-unit", "years"]
    resamples = ["--bootstrap", str(bootstrap)]
    return [
        ("simulate cohort", ["simulate", "cohort", "--n", str(n), "--out", data]),
        ("cohort check", ["cohort", "check", data]),
        ("model fit, Cox", ["model", "fit", data, *columns, "--exact-times", "--out", cox]),
        ("model fit, current status", ["model", "fit", data, *columns, "--kind", "current-status", "--out", status]),
        ("model predict", ["model", "predict", status, "--data", data, "--times", "5", "--out", str(folder / "p.csv")]),
        (
            f"model validate, {bootstrap} resamples",
            ["model", "validate", cox, "--data", data, "--horizon", "8", *resamples, "--out", str(folder / "found")],
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="people")
    parser.add_argument("--bootstrap", type=int, default=20, help="resamples of the validation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        print(f"{options.n:,} people, six covariates.\n\n| command | seconds | CPU seconds | MB |\n|---|---|---|---|")
        for name, arguments in steps(options.n, options.bootstrap, Path(text)):
            cost = cost_of(arguments, Path(text))
            print(f"| {name} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
