"""From one machine to a national network: a queueing simulation, and the figures of docs/scale.md.

    ./run python -m benchmarks.scale            # prints the tables
    ./run python -m benchmarks.scale --write    # and writes them and the plots into docs/scale.md and docs/scale/

Discrete events, fixed seeds: the same command gives the same figures. Studies arrive as a Poisson process whose rate
follows the hours of a working week; each is measured by the first free of `c` imaging workers, first come first served.
The time that a measurement takes is drawn around the mean that benchmarks.measure_speed and benchmarks.pipeline give
for one core (--study-seconds); a few studies take long (large, slow archive).
"""

import argparse
import heapq
import math
import random
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PLOTS = PAGE.parent / "scale"
BEGIN, END = "<!-- figures: ./run python -m benchmarks.scale --write -->", "<!-- end of figures -->"

HOURS = (
    0.15,
    0.1,
    0.1,
    0.1,
    0.15,
    0.3,
    0.7,
    1.4,
    2.2,
    2.5,
    2.5,
    2.3,
    1.9,
    2.1,
    2.3,
    2.2,
    1.9,
    1.4,
    0.9,
    0.7,
    0.5,
    0.4,
    0.3,
    0.2,
)
"""Relative rate of each hour of a day; assumed, after the shape of radiology departments' days."""
DAYS = (1.15, 1.2, 1.2, 1.2, 1.15, 0.45, 0.35)
WEEK_SECONDS = 7 * 86_400
TAIL_SHARE, TAIL_FACTOR = 0.01, 10.0


@dataclass(frozen=True)
class Network:
    """What is assumed of it."""

    studies_per_year: int = 10_000_000
    hospitals: int = 500
    observations_per_hospital_day: int = 20_000
    event_bytes: int = 1_200
    series_bytes: int = 10_000_000
    assessment_bytes: int = 60_000


@dataclass(frozen=True)
class Waiting:
    """Of one simulated week: seconds that studies waited for a worker, and how busy the workers were."""

    workers: int
    p50: float
    p99: float
    longest: float
    busy: float
    by_hour: tuple[float, ...]


def rate(moment: float, per_week: float) -> float:
    """Arrivals per second at `moment` (seconds since Monday 0:00). Pure."""
    scale = per_week / (3600 * sum(HOURS) * sum(DAYS))
    return scale * HOURS[int(moment % 86_400 // 3600)] * DAYS[int(moment // 86_400) % 7]


def arrivals(per_week: float, chance: random.Random) -> list[float]:
    """One week of arrival times, by thinning."""
    most = max(rate(86_400 * day + 3600 * hour, per_week) for day in range(7) for hour in range(24))
    found, moment = [], 0.0
    while (moment := moment + chance.expovariate(most)) < WEEK_SECONDS:
        if chance.random() * most < rate(moment, per_week):
            found.append(moment)
    return found


def service(mean: float, chance: random.Random) -> float:
    """Seconds that one study takes: lognormal (coefficient of variation .5), one in a hundred ten times as long."""
    sigma = math.sqrt(math.log(1.25))
    plain = mean / (1 - TAIL_SHARE + TAIL_SHARE * TAIL_FACTOR)
    drawn = plain * chance.lognormvariate(-sigma * sigma / 2, sigma)
    return drawn * TAIL_FACTOR if chance.random() < TAIL_SHARE else drawn


def simulate(
    moments: list[float], workers: int, mean_seconds: float, *, seed: int, away: tuple[float, float] | None = None
) -> Waiting:
    """One week. `away`: from when to when the archive does not answer, so that nothing can be measured."""
    chance = random.Random(seed)
    free = [0.0] * workers
    waits: list[float] = []
    by_hour: list[list[float]] = [[] for _ in range(7 * 24)]
    worked = 0.0
    for moment in moments:
        begin = max(moment, heapq.heappop(free))
        if away is not None and away[0] <= begin < away[1]:
            begin = away[1]
        took = service(mean_seconds, chance)
        heapq.heappush(free, begin + took)
        worked += took
        waits.append(begin - moment)
        by_hour[int(moment // 3600)].append(begin - moment)
    ranked = sorted(waits)
    return Waiting(
        workers=workers,
        p50=ranked[len(ranked) // 2],
        p99=ranked[int(0.99 * len(ranked))],
        longest=ranked[-1],
        busy=worked / workers / WEEK_SECONDS,
        by_hour=tuple(quantile(rows, 0.99) for rows in by_hour),
    )


def quantile(rows: list[float], share: float) -> float:
    return sorted(rows)[int(share * (len(rows) - 1))] if rows else 0.0


def arithmetic(network: Network, study_seconds: float) -> list[tuple[str, str, str]]:
    """(what, how it follows, value)."""
    peak = max(HOURS) / (sum(HOURS) / 24) * max(DAYS) / (sum(DAYS) / 7)
    studies = network.studies_per_year / 31_557_600
    rows = network.hospitals * network.observations_per_hospital_day / 86_400
    inbox = rows * network.event_bytes * 31_557_600
    megabits = studies * network.series_bytes * 8 / 1e6
    return [
        ("busiest hour against the mean", "assumed profile", f"x {peak:.1f}"),
        ("studies/s", f"{network.studies_per_year:,} a year", f"{studies:.2f}, busiest hour {studies * peak:.2f}"),
        (
            "events/s",
            f"{network.hospitals} hospitals x {network.observations_per_hospital_day:,} results a day",
            f"{rows:.0f}, busiest hour {rows * peak:.0f}",
        ),
        ("inbox", f"{network.event_bytes:,} bytes a row, kept for ever", f"{inbox / 1e12:.1f} TB a year"),
        ("inbox", "bodies kept for 30 days", f"{inbox / 12.2 / 1e9:.0f} GB"),
        (
            "assessments",
            f"{network.assessment_bytes // 1000} kB with its resources",
            f"{network.studies_per_year * network.assessment_bytes / 1e12:.1f} TB a year",
        ),
        (
            "from the archives",
            f"{network.series_bytes / 1e6:.0f} MB, one series of a study",
            f"{megabits:.0f} Mbit/s, busiest hour {megabits * peak:.0f}",
        ),
        (
            "cores that measure",
            f"{study_seconds:g} s of one core a study",
            f"{studies * study_seconds:.2f}, busiest hour {studies * peak * study_seconds:.2f}",
        ),
    ]


def seconds(value: float) -> str:
    """A waiting time that can be read."""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def plot(name: str, title: str, lines: dict[str, tuple[float, ...]]) -> None:
    """An SVG of the 99th percentile of waiting by hour of the week."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.2))
    for label, values in lines.items():
        axes.plot(range(len(values)), [max(value, 0.01) for value in values], label=label, linewidth=1.2)
    axes.set(title=title, yscale="log", ylabel="wait, p99 of the hour (s)", xticks=range(0, 168, 24))
    axes.set_xticklabels(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
    axes.legend(fontsize=8, ncols=4)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def figures(network: Network, study_seconds: float, *, write: bool) -> str:
    """Everything, as Markdown."""
    per_week = network.studies_per_year / 365.25 * 7
    moments = arrivals(per_week, random.Random(1))
    least = max(1, math.ceil(per_week / WEEK_SECONDS * study_seconds * 1.2))
    weeks = [simulate(moments, workers, study_seconds, seed=2) for workers in range(least, least + 6)]
    away = (2 * 86_400 + 10 * 3600.0, 2 * 86_400 + 12 * 3600.0)
    outages = [simulate(moments, week.workers, study_seconds, seed=2, away=away) for week in weeks]
    if write:
        plot("week", "One week, whole network", {f"{week.workers} workers": week.by_hour for week in weeks[:4]})
        title = "The archives do not answer on Wednesday from 10 to 12"
        plot("outage", title, {f"{week.workers} workers": week.by_hour for week in outages})
    rows = [
        (
            str(week.workers),
            f"{100 * week.busy:.0f} %",
            *map(seconds, (week.p50, week.p99, week.longest)),
            recovered(out, away),
        )
        for week, out in zip(weeks, outages, strict=True)
    ]
    heads = ("imaging workers", "busy", "wait p50", "p99", "longest", "queue empty after an outage of 2 h")
    parts = [
        table(("what", "from", "value"), [*arithmetic(network, study_seconds)]),
        f"One simulated week, {len(moments):,} studies, {study_seconds:g} s of a core each:",
        table(heads, rows),
    ]
    return "\n\n".join(parts)


def recovered(week: Waiting, away: tuple[float, float]) -> str:
    """How long after the outage the first hour in which 99 % wait less than a minute begins."""
    first = int(away[1] // 3600)
    found = next((hour for hour in range(first, len(week.by_hour)) if week.by_hour[hour] < 60), None)
    return "not in that week" if found is None else f"{found - first + 1} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=Network.studies_per_year, help="per year")
    parser.add_argument("--hospitals", type=int, default=Network.hospitals)
    parser.add_argument("--study-seconds", type=float, default=2.0, help="of one core for a study, all steps")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md's figures and its plots")
    options = parser.parse_args()
    network = Network(studies_per_year=options.studies, hospitals=options.hospitals)
    text = figures(network, options.study_seconds, write=options.write)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:before]}\n\n{text}\n\n{page[after:]}", encoding="utf-8")
    shown = Table(show_header=False, box=None)
    for line in text.splitlines():
        shown.add_row(line)
    Console(width=160).print(shown)


if __name__ == "__main__":
    main()
