"""`vbq events`: look at the inbox, replay dead letters. Types, states, reason codes; ids and bodies when asked for."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from commands.exits import DONE, FAILED, print_json
from commands.operator import operator
from gateways.audit.log import Audit
from gateways.queue.inbox import EventRow, Inbox
from gateways.queue.jobs import JobRow
from gateways.queue.operations import EventFilter, Operations, Replayed
from gateways.settings import load_settings
from gateways.store.database import Database
from schemas.audit import AuditEntry

STATES = ("pending", "running", "done", "dead")
MOMENTS = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
with_ids = click.option("--ids", is_flag=True, help="Ids of resources and patients too.")
count_option = click.option("--count", default=50, show_default=True, type=click.IntRange(1, 10_000))
offset_option = click.option("--offset", default=0, type=click.IntRange(0))


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
@click.option("--type", "resource_type", help="Only this resource type, e.g. ImagingStudy.")
@click.option("--source", help="Only this sender's.")
@click.option("--code", help="Only with this reason code.")
@click.option("--interaction", type=click.Choice(("upsert", "delete", "notice")), help="Only events of this kind.")
@click.option("--since", type=MOMENTS, help="Accepted on this day or moment (UTC unless it says otherwise) or later.")
@click.option("--below", type=click.IntRange(1), help="Only ids below this one: the next page after its last row.")
@count_option
@offset_option
@with_ids
@as_json
def list_(
    *,
    state: str | None,
    resource_type: str | None,
    source: str | None,
    code: str | None,
    interaction: str | None,
    since: dt.datetime | None,
    below: int | None,
    count: int,
    offset: int,
    ids: bool,
    as_json: bool,
) -> None:
    """List events, newest first."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=dt.UTC)
    moment_ = since.timestamp() if since is not None else None
    which = EventFilter(state, resource_type, source, code, interaction, moment_, below)
    with store() as database:
        rows = Operations(database).events(which, count=count, offset=offset)
    show_rows([event_document(row, ids=ids) for row in rows], as_json)


@click.command()
@click.argument("event", type=click.IntRange(1))
@click.option("--body", is_flag=True, help="The resource too: a patient's data. That somebody looked is recorded.")
@as_json
def show_(*, event: int, body: bool, as_json: bool) -> None:
    """Show one event and the jobs that it led to."""
    with store() as database:
        row, content = Inbox(database).show(event)
        work = [job_document(job, ids=True) for job in Operations(database).jobs_of(row)]
        if body:
            said = AuditEntry(
                actor_kind="command",
                actor=operator(),
                action="event-shown",
                entity=row.resource,
                detail={"event": row.id},
            )
            Audit(database).write([said])
    text = content.decode(errors="replace") or None
    document = event_document(row, ids=True) | ({"body": text} if body else {}) | {"jobs": work}
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        if name != "jobs":
            click.echo(f"{name:>12}  {'' if value is None else value}")
    for job in work:
        click.echo("         job  " + "  ".join("-" if value is None else str(value) for value in job.values()))


@click.command()
@click.option("--code", help="Only with this reason code.")
@count_option
@offset_option
@with_ids
@as_json
def dead_(*, code: str | None, count: int, offset: int, ids: bool, as_json: bool) -> None:
    """List dead letters: events that were refused, and jobs that gave up. Each says why."""
    which = EventFilter(state="dead", code=code)
    with store() as database:
        operations = Operations(database)
        rows = operations.events(which, count=count, offset=offset)
        events = [event_document(row, ids=ids) for row in rows]
        jobs = [job_document(row, ids=ids) for row in operations.dead_jobs(code=code, count=count, offset=offset)]
        codes = operations.codes()
    if as_json:
        print_json({"events": events, "jobs": jobs, "codes": codes})
        return
    show_rows(events, as_json=False)
    show_rows(jobs, as_json=False)
    for kind, counted in codes.items():
        for name, number in counted.items():
            click.echo(f"{number:>8}  dead {kind}: {name}", err=True)


@click.command()
@click.argument("events", nargs=-1, type=click.IntRange(1))
@click.option(
    "--job", "jobs", multiple=True, type=click.IntRange(1), help="A job by its id; may be given several times."
)
@click.option("--all-dead", is_flag=True, help="Every dead letter, events and jobs.")
@click.option("--code", help="With --all-dead: only those with this reason code.")
@as_json
def replay_(*, events: tuple[int, ...], jobs: tuple[int, ...], all_dead: bool, code: str | None, as_json: bool) -> int:
    """Process events again. What was done already changes nothing. Exit 1 where one that was named could not be."""
    if bool(events or jobs) == all_dead:
        raise click.UsageError("name events by their ids or jobs with --job, or say --all-dead")
    if code is not None and not all_dead:
        raise click.UsageError("--code goes with --all-dead")
    with store() as database:
        operations, who = Operations(database), operator()
        done = operations.replay_dead(code=code, actor=who) if all_dead else operations.replay(events, jobs, actor=who)
    if as_json:
        left = [{"id": event, "why": why} for event, why in done.left.items()]
        print_json({"replayed": done.events, "jobs": done.jobs, "unknown": done.unknown, "left": left})
    else:
        _tell(done)
    return FAILED if done.unknown or done.left else DONE


def _tell(done: Replayed) -> None:
    click.echo(f"{len(done.events)} events and {len(done.jobs)} jobs are due again", err=True)
    for unknown in done.unknown:
        click.echo(f"vbq: there is no {unknown}; `vbq events list` shows what there is", err=True)
    for event, why in done.left.items():
        click.echo(f"vbq: event {event} was left alone: {why}", err=True)


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


def event_document(row: EventRow, *, ids: bool) -> dict[str, Any]:
    """An event for people and programs; times in ISO 8601. Without `ids` its resource is named by its type alone."""
    times = {"first_seen": moment(row.first_seen), "due_at": moment(row.due_at)}
    return {**asdict(row), **times, "resource": row.resource if ids else row.resource.partition("/")[0]}


def job_document(row: JobRow, *, ids: bool) -> dict[str, Any]:
    """A job for people and programs; its subject is a study or a patient."""
    subject = row.subject if ids else None
    return {**asdict(row), "due_at": moment(row.due_at), "subject": subject}


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
