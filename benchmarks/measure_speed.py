"""How long a study takes: `./run python -m benchmarks.measure_speed [--batch 8]` writes docs/accuracy/speed.md.

A phantom's T1 of 18 slices of 512 x 512, RLE compressed, in a process held to one core: headers, decoding, choosing,
segmenting, measuring. CPU time, because the machine may be shared; wall time beside it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from vbq.imaging.measure import measure
from vbq.imaging.network import load_network
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.person import draw_person
from vbq.simulate.study import simulate_study

OUT = Path("docs/accuracy/speed.md")
REPEATS = 7


def made(place: Path, seed: int) -> Path:
    """A T1 series of 18 slices of 512 x 512, RLE."""
    study = simulate_study(draw_parameters(seed, 3.0, slices=18, rows=512, columns=512, distractors=False))
    write_study(study, draw_person(seed), place, compression="rle")
    return place


def one_study(place: Path) -> str:
    """Fastest and median of several runs, and the process's peak memory."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start = time.process_time()
    network = load_network()
    loading = time.process_time() - start
    cpu, wall = [], []
    for _ in range(REPEATS):
        begun, start = time.monotonic(), time.process_time()
        files = open_study(place)
        measure(files.study, files.load_pixels, None, network=network)
        cpu.append(time.process_time() - start)
        wall.append(time.monotonic() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    middle = REPEATS // 2
    return (
        f"- One study on one core, network loaded: CPU {min(cpu):.2f} s at best, {sorted(cpu)[middle]:.2f} s median of "
        f"{REPEATS}; wall {min(wall):.2f} s at best, {sorted(wall)[middle]:.2f} s median. "
        f"Load average {os.getloadavg()[0]:.1f}.\n"
        f"- Loading the network, once per process: {loading:.2f} s. Peak memory (RSS): {peak:.0f} MB.\n"
    )


def batch(archive: Path, count: int) -> str:
    """`vbq measure --batch` in two processes, start included."""
    table = archive.parent / "results.parquet"
    command = [sys.executable, "-m", "commands", "measure", "--batch", str(archive), "--out", str(table)]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    taken = time.monotonic() - start
    rate = 60 * count / taken
    return f"- `vbq measure --batch`, two processes, {count} studies: {taken:.1f} s with start, {rate:.0f} a minute.\n"


def main(arguments: list[str]) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.measure_speed", description=__doc__)
    parser.add_argument("--batch", type=int, default=8, help="studies in the batch")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    if a.one:
        print(one_study(a.one), end="")
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        first = made(archive / "0", 1)
        for k in range(1, a.batch):
            made(archive / str(k), k + 1)
        command = [sys.executable, "-m", "benchmarks.measure_speed", "--one", str(first)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout + batch(archive, a.batch)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
