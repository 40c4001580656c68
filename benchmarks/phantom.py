"""How long a phantom takes, and how the measurement fares on many: `./run python -m benchmarks.phantom [N]`."""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from vbq.imaging.measure import measure
from vbq.simulate.documents import regions_document
from vbq.simulate.parameters import draw_parameters
from vbq.simulate.person import draw_person
from vbq.simulate.study import simulate_study


@dataclass(frozen=True)
class Outcome:
    """One phantom: CPU seconds a slice, and what the measurement made of its files."""

    seconds_per_slice: float
    seconds_to_measure: float
    requested: float
    true: float
    with_regions: float | None
    right_series: bool
    slices_off: int | None
    millimetres_off: float | None
    runner_up_is_right: bool


def outcome(seed: int, place: Path) -> Outcome:
    """Make phantom `seed`, write it to `place`, measure it with its true regions and without any."""
    vbq = 2.0 + (seed * 0.37) % 4.0
    tilt, off_centre = ((seed * 2.3) % 10 - 5, (seed * 1.7) % 8 - 4) if seed % 2 else (None, None)
    given = {} if tilt is None else {"tilt_deg": tilt, "off_centre_mm": off_centre, "scoliosis_mm": tilt}
    start = time.process_time()
    study = simulate_study(draw_parameters(seed, vbq, **given))
    taken = (time.process_time() - start) / sum(len(series.images) for series in study.series)
    person = draw_person(seed)
    write_study(study, person, place)
    start = time.process_time()
    files = open_study(place)
    read = measure(files.study, files.load_pixels, regions_document(study, person))
    measuring = time.process_time() - start
    blind = measure(files.study, files.load_pixels, None)
    t1, index = study.series[0], study.truth.slice_index
    description = next((row.description for row in blind.series if row.chosen), None)
    off = abs(blind.slice.index - index) if blind.slice else None
    return Outcome(
        taken,
        measuring,
        vbq,
        study.truth.vbq,
        read.vbq,
        description == t1.sequence.description,
        off,
        off * t1.spacing_mm if off is not None else None,
        blind.runner_up is not None and blind.runner_up.index == index,
    )


def main(count: int) -> None:
    """Print the table."""
    rows = []
    for seed in range(100, 100 + count):
        with tempfile.TemporaryDirectory() as place:
            rows.append(outcome(seed, Path(place)))
    table = Table(title=f"{count} phantoms, half of them tilted, off centre and scoliotic", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    seconds = [row.seconds_per_slice for row in rows]
    worst = max(abs(row.true / row.requested - 1) for row in rows)
    read = [abs(row.with_regions / row.true - 1) for row in rows if row.with_regions is not None]
    off = [row.slices_off for row in rows if row.slices_off is not None]
    near = sum(row.slices_off == 0 or row.runner_up_is_right for row in rows)
    table.add_row("CPU seconds a slice to make, fastest / median", f"{min(seconds):.3f} / {median(seconds):.3f}")
    table.add_row("CPU seconds to read and measure, median", f"{median(row.seconds_to_measure for row in rows):.2f}")
    table.add_row("true VBQ against the one asked for, worst", f"{worst:.2%}")
    table.add_row("measured with the true regions, against the truth, worst", f"{max(read):.3%} of {len(read)}")
    table.add_row("T1 series chosen", f"{sum(row.right_series for row in rows)} of {count}")
    table.add_row("mid-sagittal slice chosen", f"{off.count(0)} of {count}")
    table.add_row("... or it was the runner-up", f"{near} of {count}")
    table.add_row("... worst, slices off", f"{max(off, default=-1)}")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
