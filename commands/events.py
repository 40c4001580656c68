"""`vbq events`: look at the inbox, replay dead letters. Prints ids, types and reason codes, never a body unasked."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from commands.exits import print_json
from gateways.database import Database
from gateways.inbox import EventRow, Inbox
from gateways.jobs import JobRow, Jobs
from gateways.settings import load_settings

STATES = ("pending", "running", "done", "dead")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
count_option = click.option("--count", default=50, show_default=True, type=click.IntRange(1, 10_000))


@contextmanager
def store() -> Iterator[Database]:
    """The database in force, checked: an unmigrated one says so instead of failing somewhere."""
    database = Database(load_settings().database)
    try:
        database.check()
        yield database
    finally:
        database.close()


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only rows in this state.")
@count_option
@click.option("--offset", default=0, type=click.IntRange(0))
@as_json
def list_(*, state: str | None, count: int, offset: int, as_json: bool) -> None:
    """List events, newest first."""
    with store() as database:
        show_rows(
            [event_document(row) for row in Inbox(database).list(state=state, count=count, offset=offset)], as_json
        )


@click.command()
@click.argument("event", type=click.IntRange(1))
@click.option("--body", is_flag=True, help="The resource too: a patient's data.")
@as_json
def show_(*, event: int, body: bool, as_json: bool) -> None:
    """Show one event."""
    with store() as database:
        row, content = Inbox(database).show(event)
    document = event_document(row) | ({"body": content.decode()} if body else {})
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        click.echo(f"{name:>12}  {'' if value is None else value}")


@click.command()
@count_option
@as_json
def dead_(*, count: int, as_json: bool) -> None:
    """List dead letters: events that were refused, and jobs that gave up. Each says why."""
    with store() as database:
        events = [event_document(row) for row in Inbox(database).dead(count=count)]
        jobs = [job_document(row) for row in Jobs(database).dead(count=count)]
    if as_json:
        print_json({"events": events, "jobs": jobs})
        return
    show_rows(events, as_json=False)
    show_rows(jobs, as_json=False)


@click.command()
@click.argument("events", nargs=-1, type=click.IntRange(1))
@click.option("--all-dead", is_flag=True, help="Every dead letter, events and jobs.")
@as_json
def replay_(*, events: tuple[int, ...], all_dead: bool, as_json: bool) -> None:
    """Process events again. What was done already changes nothing."""
    if bool(events) == all_dead:
        raise click.UsageError("name events by their ids, or say --all-dead")
    with store() as database:
        replayed = Inbox(database).replay(None if all_dead else events)
        jobs = Jobs(database).replay_dead() if all_dead else []
    if as_json:
        print_json({"replayed": replayed, "jobs": jobs})
    else:
        click.echo(f"{len(replayed)} events and {len(jobs)} jobs are due again", err=True)


@click.command()
@as_json
def stats_(*, as_json: bool) -> None:
    """Count events: accepted = done + dead + pending."""
    with store() as database:
        figures = Inbox(database).stats()
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        click.echo(f"{name:>24}  {value}")


def show_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows as JSON or as aligned text."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo("  ".join("-" if value is None else str(value) for value in row.values()))


def event_document(row: EventRow) -> dict[str, Any]:
    """An event for people and programs; times in ISO 8601."""
    return {**asdict(row), "first_seen": moment(row.first_seen), "due_at": moment(row.due_at)}


def job_document(row: JobRow) -> dict[str, Any]:
    """A job for people and programs."""
    return {**asdict(row), "due_at": moment(row.due_at)}


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
