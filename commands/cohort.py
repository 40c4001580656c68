"""`vbq cohort check | report`: is the file sound, and what does it say?"""

import datetime as dt
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.cohort_files import (
    decimal_option,
    digest_of,
    existing_file,
    make_folder,
    map_option,
    mapped_table,
    write,
)
from commands.exits import DONE, FAILED, print_json
from vbq.cohort.data.table import Decimal, Table
from vbq.cohort.errors import UnusableCohort

if TYPE_CHECKING:
    from vbq.cohort.building.flow import Flow


@click.group()
def cohort() -> None:
    """Check and describe a cohort file."""


@cohort.command()
@click.argument("file", type=existing_file)
@map_option
@decimal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(*, file: Path, mapping: Path | None, decimal: Decimal, as_json: bool) -> int:
    """Hold a FILE against the data dictionary; exit status 1 where something must be repaired."""
    from vbq.cohort.data.check import check_table

    try:
        table, done = mapped_table(file, decimal, mapping)
    except UnusableCohort as error:
        if not as_json:
            raise
        problem: dict[str, object] = {
            "severity": "error",
            "column": None,
            "lines": [],
            "problem": error.detail,
            "suggestion": "",
        }
        print_json({"ok": False, "source": file.name, "rows": None, "columns": {}, "problems": [problem], "map": []})
        return FAILED
    found = check_table(table)
    if as_json:
        print_json({**found.as_dict(), "map": done})
    else:
        for text in (*done, *found.lines()):
            click.echo(text)
    return DONE if found.ok else FAILED


def flow_of(path: Path, file: Path, table: Table) -> "Flow":
    """The flow that belongs to a cohort file; a file that was changed since gets a note."""
    from vbq.cohort.building.flow import read_flow

    flow = read_flow(path.read_bytes(), path.name, table.n)
    if flow.cohort_digest == digest_of(file):
        return flow
    return flow.but(notes=[*flow.notes, f"{file.name} was changed after {path.name} was written with it"])


@cohort.command()
@click.argument("file", type=existing_file)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--flow", type=existing_file, help="The flow that `vbq cohort build` wrote with FILE.")
@map_option
@decimal_option
@click.option("--bootstrap", type=click.IntRange(min=0, max=100_000), default=500, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print report.json as well.")
def report(
    *,
    file: Path,
    out: Path,
    flow: Path | None,
    mapping: Path | None,
    decimal: Decimal,
    bootstrap: int,
    seed: int,
    as_json: bool,
) -> None:
    """Everything that Lin et al. report, for any cohort FILE: report.html and report.json in a folder."""
    from vbq.cohort.data.standard import standard_cohort
    from vbq.cohort.report.analysis import analyse
    from vbq.cohort.report.document import document_of, html_of

    table, _ = mapped_table(file, decimal, mapping)
    built = flow_of(flow, file, table) if flow is not None else None
    found = analyse(standard_cohort(table), bootstrap, seed, built)
    document = document_of(found)
    template = files("vbq.cohort.report").joinpath("report.html").read_text(encoding="utf-8")
    page = html_of(found, template, f"Made by vbq on {dt.datetime.now(dt.UTC).date()}.")
    make_folder(out)
    write(out / "report.html", page.encode())
    write(out / "report.json", json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode())
    for text in found.warnings:
        click.echo(f"vbq: {text}", err=True)
    if as_json:
        print_json(document)
    else:
        click.echo(f"{document['n']} people, {document['events']} events; written to {out / 'report.html'}")
