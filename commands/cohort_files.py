"""Reading cohort and model files for the analysts' commands."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from schemas.model import ModelArtefact
from vbq.cohort.data.reading import read_table
from vbq.cohort.data.table import Decimal, Table
from vbq.risk import artefact

Decorated = TypeVar("Decorated", bound=Callable[..., object])

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def decimal_option(command: Decorated) -> Decorated:
    """--decimal point|comma."""
    return click.option(
        "--decimal",
        type=click.Choice(["point", "comma"]),
        default="point",
        show_default=True,
        help="How the file writes decimals.",
    )(command)


def map_option(command: Decorated) -> Decorated:
    """--map FILE."""
    return click.option("--map", "mapping", type=existing_file, help="YAML or JSON that renames and converts columns.")(
        command
    )


def mapped_table(path: Path, decimal: Decimal = "point", mapping: Path | None = None) -> tuple[Table, list[str]]:
    """The cohort file at `path` after its map, and what the map did. Raises UnusableCohort."""
    table = read_table(path.read_bytes(), path.name, decimal)
    if mapping is None:
        return table, []
    from vbq.cohort.data.mapping import apply_map, read_map

    return apply_map(table, read_map(mapping.read_bytes(), mapping.name))


def load_table(path: Path, decimal: Decimal = "point", mapping: Path | None = None) -> Table:
    """The cohort file at `path`, after its map."""
    return mapped_table(path, decimal, mapping)[0]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_model(path: Path) -> ModelArtefact:
    """An analyst's own model file; the services check signatures, the bench does not."""
    return artefact.parse(path.read_bytes())


def names_of(text: str) -> tuple[str, ...]:
    """'a, b,c' as ('a', 'b', 'c'). Raises a usage error for an empty list."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one, separated by commas")
    return names


@contextmanager
def counted(resamples: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr that moves with every resample; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("resamples", total=resamples)
        yield lambda done: bar.advance(line, done)


def write(path: Path, content: bytes) -> None:
    """Write a result, or say in a sentence why not (exit status 1)."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.FileError(str(path), hint=f"{error.strerror}; choose another place for the result") from error


def make_folder(path: Path) -> None:
    """Make the folder of a report, or say in a sentence why not (exit status 1)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.FileError(str(path), hint=f"{error.strerror}; choose another folder") from error
