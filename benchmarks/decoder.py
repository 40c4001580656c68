"""What the decoder's process costs a study, and JPEG lossless a slice: `./run python -m benchmarks.decoder`.

The study is the phantom: 18 slices of 512 x 512 and its other series, uncompressed. Times are the least of `--repeats`
and their median, on a process that is warm; "start" is what the first study of a worker pays once. The study's are by
the clock, so run it on a machine that does nothing else; those of JPEG lossless are processor time.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gateways.dicom.decoder import Decoder
from gateways.dicom.jpeg_lossless import decode_lossless
from gateways.dicom.study import Here, Reader, open_study
from tests.gateways.dicom.lossless_encoder import encode_lossless


def timed(
    action: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """(least, median) in ms."""
    took = []
    for _ in range(repeats):
        started = clock()
        action()
        took.append(1000 * (clock() - started))
    return min(took), median(took)


def study(reader: Reader, place: Path) -> int:
    """Headers of everything and pixels of the largest series: what a measurement reads. Its slices."""
    files = open_study(place, reader=reader)
    largest = max(files.study.series, key=lambda header: header.slices)
    return len(files.load_pixels(largest.uid).slices)


def main(repeats: int, matrix: int, slices: int) -> None:
    with tempfile.TemporaryDirectory(prefix="vbq-bench-") as folder:
        place = Path(folder, "study")
        size = ["--matrix", str(matrix), "--slices", str(slices), "--seed", "5"]
        made = [sys.executable, "-m", "commands", "simulate", "study", *size, "--out", str(place)]
        subprocess.run(made, check=True, capture_output=True)
        with Decoder() as decoder:
            started = time.perf_counter()
            count = study(decoder, place)
            first = 1000 * (time.perf_counter() - started)
            theirs = timed(lambda: study(decoder, place), repeats)
        ours = timed(lambda: study(Here(), place), repeats)
    print("| what | least, ms | median, ms |\n|---|---|---|")
    print(f"| a study of {count} slices, read in this process | {ours[0]:.0f} | {ours[1]:.0f} |")
    print(f"| the same by the decoder's process, warm | {theirs[0]:.0f} | {theirs[1]:.0f} |")
    print(f"| difference | {theirs[0] - ours[0]:.0f} | {theirs[1] - ours[1]:.0f} |")
    print(f"| the first study, with the start | {first:.0f} | |")
    rows, columns = np.mgrid[:matrix, :matrix]
    values = (600 + 3 * rows + columns + np.random.default_rng(1).integers(0, 32, (matrix, matrix))) & 4095
    for predictor in (1, 4, 7):
        frame = encode_lossless(values, predictor=predictor)
        decode = partial(decode_lossless, frame, signed=False)
        least, middle = timed(decode, repeats, time.process_time)
        print(f"| JPEG lossless, {matrix} x {matrix}, predictor {predictor} | {least:.0f} | {middle:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--slices", type=int, default=18)
    given = parser.parse_args()
    main(given.repeats, given.matrix, given.slices)
