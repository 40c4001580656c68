"""`vbq measure --sr` and `--sc`: what the measurement rests on, as DICOM files."""

import datetime as dt
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click

from gateways.dicom.evidence import secondary_capture, structured_report
from gateways.dicom.study import StudyFiles
from schemas.errors import NotMeasurable
from schemas.measurement import Measurement

SOFTWARE = "vbq-cds"


def write_evidence(result: Measurement, files: StudyFiles, sr: Path | None, sc: Path | None) -> None:
    """Write the structured report and the secondary capture where asked for; say why where there is nothing to show."""
    kinds: list[tuple[Path | None, str, Callable[..., bytes]]] = [
        (sr, "structured report", structured_report),
        (sc, "secondary capture", secondary_capture),
    ]
    for path, name, make in kinds:
        if path is None:
            continue
        try:
            made = make(result, files, software=f"{SOFTWARE} {version(SOFTWARE)}", now=dt.datetime.now().astimezone())
            path.write_bytes(made)
        except NotMeasurable as error:
            click.echo(f"vbq: no {name}: {error.detail}", err=True)
        except OSError as error:
            raise click.FileError(str(path), error.strerror or "cannot be written") from error
