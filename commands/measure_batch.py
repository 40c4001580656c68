"""`vbq measure --batch`: every study of an archive, in several processes, going on where a stopped run was."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.exits import DONE, FAILED
from commands.measurement_table import Journal, Row, folder_name, row_of, write_table
from gateways.dicom.decoder import Decoder, decoder_of
from gateways.dicom.study import limits_of, open_study
from gateways.settings import load_settings
from schemas.errors import NotMeasurable, Rejected
from schemas.measurement import Measurement, Reason
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.imaging.unaided import ALGORITHM

STOPPED = 130  # as a shell says of a program that Ctrl-C ended
ORPHAN_SECONDS = 1.0
_network: list[Network] = []  # of this worker process, loaded by its initializer
_decoder: list[Decoder] = []  # as above; it ends when this process does


def measure_batch(archive: Path, table: Path, processes: int) -> int:
    """Measure each folder directly below `archive` as one study and write `table` (parquet). The exit status.

    A row is written for every folder; those that cannot be read are `not_measurable` with the reason.
    """
    # A link to the archive itself or above it is a loop, no study.
    root = archive.resolve()
    folders = sorted(path for path in archive.iterdir() if path.is_dir() and not root.is_relative_to(path.resolve()))
    if not folders:
        raise click.UsageError(f"no folders below {archive}; --batch expects one folder per study")
    journal = Journal(table)
    with journal.alone():
        return _go_on(folders, table, processes, journal)


def _go_on(folders: list[Path], table: Path, processes: int, journal: Journal) -> int:
    journal.mend()
    done = {str(row["folder"]): row for row in journal.rows() if row.get("algorithm") == ALGORITHM}
    left = [folder for folder in folders if folder_name(folder) not in done]
    if done:
        click.echo(f"vbq: {len(folders) - len(left)} of {len(folders)} studies were measured before", err=True)
    started = time.monotonic()
    try:
        for row in _measured(left, processes):
            journal.add(row)
            done[row["folder"]] = row
    except KeyboardInterrupt:
        here = sum(folder_name(folder) in done for folder in folders)
        click.echo(f"vbq: stopped after {here} of {len(folders)} studies; the same command goes on", err=True)
        return STOPPED
    rows = [done[folder_name(folder)] for folder in folders]
    try:
        write_table(rows, table)
    except OSError as error:
        raise click.FileError(str(table), error.strerror or "cannot be written") from error
    journal.path.unlink(missing_ok=True)
    _say(rows, len(left), time.monotonic() - started)
    return DONE if any(row["vbq"] is not None for row in rows) else FAILED


def _measured(folders: list[Path], processes: int) -> Iterator[Row]:
    """Rows as they come, with a progress bar on standard error.

    A study that kills its process (memory, a fault in a decoder) is tried once more in a process of its own, and gets a
    row that says so when it does that again; the others are not lost with it.
    """
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not folders) as progress:
        task = progress.add_task("", total=len(folders))
        left = list(folders)
        while left:
            suspects: list[Path] = []
            for row in _until_a_process_dies(left, processes, suspects):
                left = [folder for folder in left if folder_name(folder) != row["folder"]]
                yield row
                progress.advance(task)
            for folder in suspects:
                left.remove(folder)
                yield next(_until_a_process_dies([folder], 1, []), _died(folder))
                progress.advance(task)


def _until_a_process_dies(folders: list[Path], processes: int, suspects: list[Path]) -> Iterator[Row]:
    """Rows of `folders`; where a process dies, `suspects` gets those that were at work, and the rest is left."""
    context = multiprocessing.get_context("spawn")  # a session of the network does not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_load, initargs=(os.getpid(),)) as pool:
        waiting = deque(folders)
        running: dict[Future[Row], Path] = {}
        try:
            while waiting or running:
                while waiting and len(running) < processes:  # so that it is known which were at work
                    folder = waiting.popleft()
                    running[pool.submit(_row, folder)] = folder
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    row = future.result()
                    del running[future]
                    yield row
        except BrokenProcessPool:
            suspects.extend(running.values())
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _died(folder: Path) -> Row:
    text = "the process that read this study died twice (memory, or a fault in a decoder); look at it by itself"
    reason = Reason(code="process-died", text=text)
    result = Measurement(status="not_measurable", algorithm=ALGORITHM, study_uid="unknown", reasons=[reason])
    return row_of(folder_name(folder), result, 0.0)


def _load(parent: int) -> None:
    """What a child needs. Ctrl-C is its parent's business, and without the parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _decoder.append(decoder_of(load_settings()))
    _decoder[0].start()
    _network.append(load_network())


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)  # the pool's queues would keep an orphan waiting for ever


def _row(folder: Path) -> Row:
    started = time.monotonic()
    try:
        files = open_study(folder, limits=limits_of(load_settings()), reader=_decoder[0])
        result = measure(files.study, files.load_pixels, None, network=_network[0])
    except Rejected as error:
        pairs = error.reasons if isinstance(error, NotMeasurable) else [(error.reason_code, error.detail)]
        reasons = [Reason(code=code, text=text) for code, text in pairs]
        result = Measurement(status="not_measurable", algorithm=ALGORITHM, study_uid="unknown", reasons=reasons)
    except Exception as error:  # noqa: BLE001 - one study must not end the run of all; the row says what happened
        text = f"{type(error).__name__}: a defect; please report it"  # the error's own text may name a patient
        reason = Reason(code="defect", text=text)
        result = Measurement(status="not_measurable", algorithm=ALGORITHM, study_uid="unknown", reasons=[reason])
    return row_of(folder_name(folder), result.but(algorithm=ALGORITHM), time.monotonic() - started)


def _say(rows: list[Row], measured: int, seconds: float) -> None:
    counts = Counter(str(row["status"]) for row in rows)
    click.echo(", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.most_common()))
    if measured:
        click.echo(f"{measured} studies in {seconds:.0f} s, {60 * measured / seconds:.0f} a minute", err=True)
