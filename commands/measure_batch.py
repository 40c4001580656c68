"""`vbq measure --batch`: every study of an archive, in several processes, going on where a stopped run was."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.exits import DONE, FAILED
from commands.measurement_table import Journal, Row, row_of, write_table
from gateways.decoder import Decoder, decoder_of
from gateways.dicom import limits_of, open_study
from gateways.settings import load_settings
from schemas.errors import NotMeasurable, Rejected
from schemas.measurement import Measurement, Reason
from vbq.imaging.measure import measure
from vbq.imaging.network import Network, load_network
from vbq.imaging.unaided import ALGORITHM

_network: list[Network] = []  # of this worker process, loaded by its initializer
_decoder: list[Decoder] = []  # as above; it ends when this process does


def measure_batch(archive: Path, table: Path, processes: int) -> int:
    """Measure each folder directly below `archive` as one study and write `table` (parquet). The exit status.

    A row is written for every folder; those that cannot be read are `not_measurable` with the reason.
    """
    folders = sorted(path for path in archive.iterdir() if path.is_dir())
    if not folders:
        raise click.UsageError(f"no folders below {archive}; --batch expects one folder per study")
    journal = Journal(table)
    journal.mend()
    done = {str(row["folder"]): row for row in journal.rows() if row.get("algorithm") == ALGORITHM}
    left = [folder for folder in folders if folder.name not in done]
    if done:
        click.echo(f"vbq: {len(folders) - len(left)} of {len(folders)} studies were measured before", err=True)
    started = time.monotonic()
    for row in _measured(left, processes):
        journal.add(row)
        done[row["folder"]] = row
    try:
        write_table([done[folder.name] for folder in folders], table)
    except OSError as error:
        raise click.FileError(str(table), error.strerror or "cannot be written") from error
    journal.path.unlink(missing_ok=True)
    _say([done[folder.name] for folder in folders], len(left), time.monotonic() - started)
    return DONE if any(row["vbq"] is not None for row in done.values()) else FAILED


def _measured(folders: list[Path], processes: int) -> Iterator[Row]:
    """Rows as they come, with a progress bar on standard error."""
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # A session of the network does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, console=Console(stderr=True), disable=not folders) as progress,
        ProcessPoolExecutor(processes, mp_context=context, initializer=_load) as pool,
    ):
        task = progress.add_task("", total=len(folders))
        waiting: list[Future[Row]] = [pool.submit(_row, folder) for folder in folders]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
                progress.advance(task)
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _load() -> None:
    _decoder.append(decoder_of(load_settings()))
    _decoder[0].start()
    _network.append(load_network())


def _row(folder: Path) -> Row:
    started = time.monotonic()
    try:
        files = open_study(folder, limits=limits_of(load_settings()), reader=_decoder[0])
        result = measure(files.study, files.load_pixels, None, network=_network[0])
    except Rejected as error:
        pairs = error.reasons if isinstance(error, NotMeasurable) else [(error.reason_code, error.detail)]
        reasons = [Reason(code=code, text=text) for code, text in pairs]
        result = Measurement(status="not_measurable", algorithm=ALGORITHM, study_uid="unknown", reasons=reasons)
    return row_of(folder.name, result.but(algorithm=ALGORITHM), time.monotonic() - started)


def _say(rows: list[Row], measured: int, seconds: float) -> None:
    counts = Counter(str(row["status"]) for row in rows)
    click.echo(", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.most_common()))
    if measured:
        click.echo(f"{measured} studies in {seconds:.0f} s, {60 * measured / seconds:.0f} a minute", err=True)
