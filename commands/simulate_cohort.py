"""`vbq simulate cohort`: women who do not exist, whose analysis gives the published tables."""

from pathlib import Path

import click

from commands.cohort_files import write
from commands.exits import print_json


@click.command("cohort")
@click.option("--n", type=click.IntRange(min=10, max=50_000_000), default=137, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="CSV to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def simulate_cohort(*, n: int, seed: int, out: Path, as_json: bool) -> None:
    """Write a SYNTHETIC cohort: for 137 women the tables of Lin et al. 2025 come out, for more the same population."""
    from vbq.simulate.cohort import simulate_cohort as simulate

    cohort = simulate(n, seed)
    write(out, cohort.csv())
    events = int(cohort.columns["event"].sum())
    if as_json:
        document = {"n": n, "events": events, "seed": seed, "synthetic": True, "figures": cohort.figures}
        print_json({**document, "out": str(out)})
    else:
        click.echo(f"{n} synthetic women, {events} with the event, written to {out}")
