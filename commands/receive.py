"""`vbq receive`: take studies that scanners and archives send to us (DICOM C-STORE), and make events of them."""

import fcntl
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from commands.exits import print_json
from gateways.dicom.decoder import decoder_of
from gateways.dicom.limits import limits_of
from gateways.fhir.servers import FhirServers
from gateways.logs import configure
from gateways.pacs.announcing import Announcer
from gateways.pacs.received_studies import ReceivedStudies
from gateways.pacs.storage_scp import listening
from gateways.queue.inbox import Inbox
from gateways.settings import Settings, load_settings
from gateways.store.database import Database
from schemas.config import Config, Receive
from schemas.errors import Forbidden, NotConfigured, Unavailable

LOOK_SECONDS = 1.0
TIDY_SECONDS = 600.0
HEARTBEAT = "receive.heartbeat"  # in data_dir; the chart's probe and `vbq up` look at it


@click.command()
@click.option("--list", "list_", is_flag=True, help="Say what is there and what waits for what; receive nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --list: one JSON document.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0, 600), default=0.0, help="Seconds to wait for another to end."
)
def receive(*, list_: bool, as_json: bool, wait_seconds: float) -> None:
    """Listen for MR studies from the configured peers until Ctrl-C (`receive` in VBQ_CONFIG).

    `vbq up` starts it where it is configured. At its end nobody new is let in; who is sending has ten seconds.

    A study that has been quiet is put into the inbox. One whose patient cannot be told stays on disk and waits.
    """
    settings = load_settings()
    config = settings.structured()
    if config.receive is None:
        raise NotConfigured("receive is not in VBQ_CONFIG; docs/pacs.md shows what it takes")
    studies = ReceivedStudies(root_of(settings), most_bytes=config.receive.most_bytes)
    if list_:
        _list(studies, as_json=as_json)
        return
    configure(settings.log_level, "receive")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with sole(studies.root, wait_seconds, stop):
        _run(settings, config, config.receive, studies, stop)


def root_of(settings: Settings) -> Path:
    """Where received studies lie: below the data directory's own study root, so that `file:` endpoints reach them."""
    return settings.data_dir.absolute() / "studies" / "received"


def _run(settings: Settings, config: Config, wanted: Receive, studies: ReceivedStudies, stop: threading.Event) -> None:
    database = Database(settings.database)
    inbox = Inbox(database)
    servers = FhirServers(config)
    with decoder_of(settings) as decoder:
        try:
            database.check()
            limits = limits_of(settings)
            announcer = Announcer(config, wanted, studies, inbox, servers, reader=decoder, limits=limits)
            with listening(wanted, studies) as port:
                click.echo(f"vbq: {wanted.ae_title} listens on {wanted.host}:{port}  Ctrl-C stops", err=True)
                tidied = 0.0
                beat = settings.data_dir / HEARTBEAT
                beat.touch()
                while not stop.wait(LOOK_SECONDS):
                    announcer.look(alive=beat.touch)
                    if time.monotonic() - tidied > TIDY_SECONDS:
                        studies.tidy(keep_seconds=wanted.keep_days * 86400)
                        tidied = time.monotonic()
        finally:
            servers.close()
            inbox.close()
            database.close()


def _list(studies: ReceivedStudies, *, as_json: bool) -> None:
    rows = [
        {"study": row.name[:12], "status": row.note.status, "code": row.note.code, "instances": row.instances}
        | {"text": row.note.text}
        for row in studies.all()
    ]
    if as_json:
        print_json(rows)
        return
    for one in rows:
        click.echo("  ".join(str(value) for value in one.values() if value != ""))
    counts = Counter(str(one["status"]) for one in rows)
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing received", err=True)


@contextmanager
def sole(root: Path, wait_seconds: float, stop: threading.Event) -> Iterator[None]:
    """One process looks after the directory. Raises Forbidden where another one does, and goes on doing so."""
    until = time.monotonic() + wait_seconds
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard = (root / "receive.lock").open("w")
    except OSError as error:
        raise Unavailable(f"the received studies cannot be written: {error.strerror}", code="store") from error
    with guard:
        while not _locked(guard):
            if time.monotonic() >= until or stop.wait(0.1):
                raise Forbidden("another `vbq receive` runs on this data directory", code="already-running")
        yield


def _locked(guard: IO[str]) -> bool:
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
