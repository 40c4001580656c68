"""Accuracy of the automatic measurement: `./run python -m benchmarks.accuracy [--n 500] [--first 3000000]`.

Writes docs/accuracy.md from docs/accuracy/phantoms.csv, which holds one row per phantom and is continued, not begun
anew: a stopped run goes on. Rows of other seeds, another version of the algorithm or other weights are thrown away.
500 phantoms take about 50 minutes of CPU, most of it to draw them; `--n 40` is a quick look. `--first 0` with `--page`
is for development: seeds of the page must be such as nobody has looked at.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.accuracy_page import Row, page
from benchmarks.accuracy_phantoms import HELD_OUT, Case, make_case
from benchmarks.accuracy_real import real_study_table, volumes_table
from benchmarks.rows import MADE_BY, add_row, made_by, read_rows, write_rows
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network

ROWS = Path("docs/accuracy/phantoms.csv")
PAGE = Path("docs/accuracy.md")
REAL = Path("docs/accuracy/real.md")
SPEED = Path("docs/accuracy/speed.md")  # by benchmarks.measure_speed
SAME_BODY_MM = 8.0


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
        MADE_BY: made_by(),
    }


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


def run(seeds: range, path: Path, cache: Path | None, processes: int) -> list[Row]:
    """Measure those of `seeds` that are missing in `path`, writing each at once; all rows, by seed."""
    known = {int(row["seed"]): row for row in read_rows(path, made_by()) if int(row["seed"]) in seeds}
    write_rows(path, known.values())
    wanted = [seed for seed in seeds if seed not in known]
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("phantoms", total=len(seeds), completed=len(known))
        for row in measured_rows(wanted, cache, processes) if wanted else ():
            add_row(path, row)
            progress.advance(task)
    rows = sorted(read_rows(path, made_by()), key=lambda row: int(row["seed"]))
    write_rows(path, rows)  # by seed, so that the file does not tell which process was faster
    return rows


def main(arguments: list[str]) -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="phantoms in all")
    parser.add_argument("--first", type=int, default=HELD_OUT, help="the first seed; the page is for untouched ones")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where the rows are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--fresh", action="store_true", help="throw earlier rows away")
    parser.add_argument("--cache", type=Path, help="a folder to keep phantoms in between runs (10 MB each)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="real data, where it is there")
    a = parser.parse_args(arguments)
    if a.fresh:
        a.rows.unlink(missing_ok=True)
    rows = run(range(a.first, a.first + a.n), a.rows, a.cache, a.processes)
    if a.shared.is_dir():
        network = load_network()
        REAL.write_text(volumes_table(a.shared, network) + "\n" + real_study_table(a.shared, network), encoding="utf-8")
    real = REAL.read_text(encoding="utf-8") if REAL.is_file() else ""
    speed = SPEED.read_text(encoding="utf-8") if SPEED.is_file() else ""
    a.page.write_text(page(rows, real, speed), encoding="utf-8")
    Console().print(f"written: {a.page}")


if __name__ == "__main__":
    main(sys.argv[1:])
