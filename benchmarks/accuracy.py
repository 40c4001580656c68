"""Accuracy of the automatic measurement: `./run python -m benchmarks.accuracy [--n 500] [--shared ../shared/data]`.

Writes docs/accuracy.md from docs/accuracy/phantoms.csv, which holds one row per phantom and is continued, not begun
anew: a stopped run goes on. `--fresh` throws the rows away, as after a change of the measurement or of the network.
500 phantoms take about 50 minutes of CPU, most of it to draw them; `--n 40` is a quick look.
"""

import argparse
import csv
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.accuracy_page import page
from benchmarks.accuracy_phantoms import HELD_OUT, Case, make_case
from benchmarks.accuracy_real import real_study_table, volumes_table
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network

ROWS = Path("docs/accuracy/phantoms.csv")
PAGE = Path("docs/accuracy.md")
REAL = Path("docs/accuracy/real.md")
SPEED = Path("docs/accuracy/speed.md")  # by benchmarks.measure_speed
SAME_BODY_MM = 8.0

Row = dict[str, Any]


def row_of(case: Case, network: Network) -> Row:
    """One phantom measured without a reader, against its truth."""
    start = time.process_time()
    result = measure(case.study, lambda _: case.series, None, network=network)
    seconds = time.process_time() - start
    parameters = case.parameters
    right = wrong = 0
    spacing = case.series.slices[0].pixel_spacing_mm
    for level, region in result.levels.items():
        if level in case.centres and region.ellipse.center:
            row, column = case.centres[level]
            down, back = (region.ellipse.center[0] - row) * spacing[0], (region.ellipse.center[1] - column) * spacing[1]
            near = (down**2 + back**2) ** 0.5 < SAME_BODY_MM
            right, wrong = right + near, wrong + (not near)
    low, high = result.interval or (None, None)
    along = [one.along_normal_mm for one in case.series.slices]
    return {
        "seed": parameters.seed,
        "status": result.status,
        "true": case.expected_vbq,
        "true_noisy": case.vbq,
        "vbq": result.vbq,
        "low": low,
        "high": high,
        "range_low": result.slice_range[0] if result.slice_range else None,
        "range_high": result.slice_range[1] if result.slice_range else None,
        "levels_right": right,
        "levels_wrong": wrong,
        "slices_off": abs(result.slice.index - case.slice_index) if result.slice else None,
        "mm_off": abs(along[result.slice.index] - along[case.slice_index]) if result.slice else None,
        "reasons": " ".join(reason.code for reason in result.reasons),
        "flags": " ".join(flag.code for flag in result.flags),
        "suspected": " ".join(level for level, shape in result.shapes.items() if shape.suspected_genant_grade),
        "fractured": " ".join(fracture.level for fracture in parameters.fractures),
        "loss": parameters.fractures[0].loss if parameters.fractures else 0.0,
        "scoliosis_mm": parameters.scoliosis_mm,
        "listhesis_mm": parameters.listhesis_mm,
        "noise": parameters.noise,
        "degeneration": parameters.degeneration,
        "root_spread": parameters.root_spread,
        "falloff_mm": parameters.falloff_mm,
        "tilt_deg": parameters.tilt_deg,
        "view_mm": parameters.rows * parameters.pixel_mm,
        "purity": case.purity,
        "cpu_seconds": seconds,
    }


def read_rows(path: Path) -> list[Row]:
    """The rows of earlier runs."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


_networks: list[Network] = []  # of a worker process, loaded once


def _load() -> None:
    _networks.append(load_network())


def _measured(seed: int, cache: Path | None) -> Row:
    return row_of(make_case(seed, cache), _networks[0])


def measured_rows(seeds: list[int], cache: Path | None, processes: int) -> Iterator[Row]:
    """The rows of `seeds` as they are done, in any order."""
    spawn = multiprocessing.get_context("spawn")  # threads of the network's library do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_load) as pool:
        for done in as_completed([pool.submit(_measured, seed, cache) for seed in seeds]):
            yield done.result()


def run(count: int, path: Path, cache: Path | None, processes: int) -> None:
    """Measure held-out phantoms until `count` rows are there, writing each at once."""
    known = {int(row["seed"]) for row in read_rows(path)}
    wanted = [seed for seed in range(HELD_OUT, HELD_OUT + count) if seed not in known]
    if not wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("phantoms", total=count, completed=count - len(wanted))
        for row in measured_rows(wanted, cache, processes):
            begun = path.is_file()
            with path.open("a", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
                if not begun:
                    writer.writeheader()
                writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
            progress.advance(task)


def sort_rows(path: Path) -> list[Row]:
    """The rows by seed, so that the file does not tell which process was faster."""
    rows = sorted(read_rows(path), key=lambda row: int(row["seed"]))
    if rows:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def main(arguments: list[str]) -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="phantoms in all")
    parser.add_argument("--fresh", action="store_true", help="throw earlier rows away")
    parser.add_argument("--cache", type=Path, help="a folder to keep phantoms in between runs (10 MB each)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="real data, where it is there")
    a = parser.parse_args(arguments)
    if a.fresh:
        ROWS.unlink(missing_ok=True)
    run(a.n, ROWS, a.cache, a.processes)
    rows = sort_rows(ROWS)
    if a.shared.is_dir():
        network = load_network()
        REAL.write_text(volumes_table(a.shared, network) + "\n" + real_study_table(a.shared, network), encoding="utf-8")
    real = REAL.read_text(encoding="utf-8") if REAL.is_file() else ""
    speed = SPEED.read_text(encoding="utf-8") if SPEED.is_file() else ""
    PAGE.write_text(page(rows, real, speed), encoding="utf-8")
    Console().print(f"written: {PAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
