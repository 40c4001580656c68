"""`vbq backfill`: what a FHIR server held before it began to notify us, into the inbox."""

import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from commands.exits import print_json
from commands.site import site
from gateways.fhir.backfill import Backfiller, Report
from gateways.fhir.backfill_state import Backfill, Part
from gateways.fhir.http import Limits
from gateways.fhir.sources import of_sender, of_url

# A back-fill has time: it waits as long as the server asks, up to ten minutes for one answer.
LIMITS = Limits(reply_bytes=64 * 2**20, reply_seconds=300.0, silence_seconds=60.0, waits_seconds=600.0)


@click.command()
@click.option("--fhir", "url", help="FHIR base URL of the server.")
@click.option("--sender", help="A sender of the configuration: its fhir_base_url, with its `reads`.")
@click.option("--since", help="Only what changed since: a date or a FHIR instant.")
@click.option("--types", help="Comma-separated.  [default: all that matter, or those of the sender]")
@click.option("--search", is_flag=True, help="Search, without asking for an $export first.")
@click.option("--restart", is_flag=True, help="Do not go on with what was cut off; begin anew.")
@click.option("--page-size", type=click.IntRange(1, 5000), default=200, show_default=True, help="Of a search.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def backfill(
    *,
    url: str | None,
    sender: str | None,
    since: str | None,
    types: str | None,
    search: bool,
    restart: bool,
    page_size: int,
    as_json: bool,
) -> None:
    """Read what a FHIR server holds into the inbox, by its $export or by searches. Run again, it goes on where it was
    cut off; what is here already is no second event.
    """
    if (url is None) == (sender is None):
        raise click.UsageError("name the server by --fhir URL or by --sender NAME")
    start = instant_of(since)
    with site(writing=True) as here:
        config = here.settings.structured()
        source, client = of_sender(config, sender, LIMITS) if sender else of_url(here.settings, url or "", LIMITS)
        wanted = types_of(types, source.relevant)
        with client, reporting(quiet=as_json) as report:
            worker = Backfiller(here.settings, here.database, source, client, report=report, page_size=page_size)
            done = worker.run(wanted, start, export=not search, again=restart)
    told = document(done)
    if as_json:
        print_json(told)
        return
    click.echo(f"{told['new']} new events, {told['known']} known already, {told['passed_over']} passed over")
    for code, count in told["reasons"].items():
        click.echo(f"  {count} passed over: {code}")
    click.echo("workers read them from the inbox now (`vbq events stats`)", err=True)


def instant_of(text: str | None) -> str:
    """A date or moment as a FHIR instant in UTC; '' for none. Without a time zone it counts as UTC."""
    if text is None:
        return ""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            "a date (2025-03-01) or an instant (2025-03-01T08:00:00Z)", param_hint="--since"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def types_of(text: str | None, relevant: list[str]) -> list[str]:
    """The wanted types, each of them one that is read here."""
    if text is None:
        return relevant
    wanted = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not wanted or not set(wanted) <= set(relevant):
        raise click.BadParameter(f"types that are read there: {', '.join(relevant)}", param_hint="--types")
    return wanted


def document(done: Backfill) -> dict[str, Any]:
    """A back-fill for programs."""
    ended = done.finished if done.finished is not None else done.started
    return {
        "id": done.id,
        "source": done.source,
        "mode": done.mode,
        "types": list(done.types),
        "since": done.since or None,
        "state": done.state,
        "new": done.fresh,
        "known": done.known,
        "passed_over": done.passed_over,
        "reasons": dict(done.problems),
        "seconds": round(ended - done.started, 3),
    }


@contextmanager
def reporting(*, quiet: bool) -> Iterator[Report]:
    """Progress on stderr: a bar on a terminal, a line for what is worth saying elsewhere; nothing where `quiet`."""
    if quiet or not sys.stderr.isatty():

        def say(_: Backfill, __: list[Part], text: str) -> None:
            if text and not quiet:
                click.echo(f"vbq: {text}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("asking", total=None)

        def show(done: Backfill, parts: list[Part], text: str) -> None:
            stated = [part.total for part in parts]
            total = sum(one or 0 for one in stated) if stated and None not in stated else None
            said = text or f"{done.mode}: {done.fresh} new, {done.known} known"
            bar.update(task, completed=sum(part.lines for part in parts), total=total, description=said)

        yield show
