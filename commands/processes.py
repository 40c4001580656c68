"""`vbq serve`, `work`, `sweep`, `migrate`: one process each, as `vbq up` and the chart start them."""

import os
import sys

import click

from gateways.queue.broker import QUEUES
from gateways.settings import Settings, load_settings
from gateways.store.database import Database


def serve_command(settings: Settings) -> list[str]:
    """The web server's command line: granian in front of services.rsgi, one process with one event loop."""
    return [
        *(sys.executable, "-m", "granian"),
        *("--interface", "rsgi"),
        *("--loop", "asyncio"),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        *("--workers", "1"),
        *("--http", "1"),
        "--no-ws",
        "--respawn-failed-workers",
        *("--workers-kill-timeout", "10"),
        *("--log-level", "error"),
        "--factory",
        "services.rsgi:app",
    ]


def work_command(queues: str = "") -> list[str]:
    """The worker's command line."""
    return [sys.executable, "-m", "workers", "work", *(("--queues", queues) if queues else ())]


def sweep_command() -> list[str]:
    """The sweeper's command line."""
    return [sys.executable, "-m", "workers", "sweep"]


def become(command: list[str]) -> None:
    """Replace this process: signals then reach the program itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606 - an argument list, no shell


@click.command()
def serve() -> None:
    """Run the web service: intake, CDS Hooks, FHIR reads, pages, health."""
    become(serve_command(load_settings()))


@click.command()
@click.option("--queues", default="", help=f"Comma-separated; default all: {', '.join(QUEUES.values())}.")
def work(queues: str) -> None:
    """Run a Celery worker."""
    load_settings()
    become(work_command(queues))


@click.command()
def sweep() -> None:
    """Run the sweeper, which wakes workers for due work."""
    load_settings()
    become(sweep_command())


@click.command()
def migrate() -> None:
    """Bring the database's tables to the newest version."""
    settings = load_settings()
    database = Database(settings.database)
    database.migrate()
    database.close()
    click.echo("the database is up to date", err=True)
