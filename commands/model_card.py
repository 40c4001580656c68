"""`vbq model card | diff | evidence | schema`: reading, comparing and completing model files."""

import datetime as dt
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from commands.cohort_files import (
    counted,
    decimal_option,
    digest_of,
    existing_file,
    load_model,
    load_table,
    map_option,
    write,
)
from commands.exits import print_json
from commands.model_sign import as_json
from commands.site import site
from schemas.model import ModelArtefact, json_schema
from schemas.registry import Stage
from vbq.cohort.data.table import Decimal
from vbq.risk.artefact import canonical, digest


@click.command("card")
@click.argument("model", metavar="MODEL")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The HTML file to write.")
def card_(*, model: str, out: Path) -> None:
    """Write the card of MODEL (a file, or a model of the registry) as one HTML file that needs nothing else."""
    from vbq.risk.card.page import whole

    artefact, found, stage = find(model)
    today, software = dt.datetime.now(dt.UTC).date(), f"vbq-cds {version('vbq-cds')}"
    write(out, whole(artefact, digest=found, today=today, software=software, stage=stage).encode())
    click.echo(f"{artefact.id} {artefact.version}: {out}")


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@as_json
def diff_(*, old: str, new: str, as_json: bool) -> None:
    """What changes from model A to model B (files, or models of the registry), and whose risk by how much."""
    from vbq.risk.difference import difference

    first, second = find(old)[0], find(new)[0]
    found = difference(first, second)
    if as_json:
        print_json(found)
        return
    click.echo(f"{first.id} {first.version} -> {second.id} {second.version}")
    for line in _lines(found):
        click.echo(f"  {line}")


@click.command("evidence")
@click.argument("model", type=existing_file)
@click.option("--data", type=existing_file, required=True, help="The training file, or another cohort.")
@click.option("--bootstrap", type=click.IntRange(min=20, max=100_000), default=500, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--time", help="Column of follow-up times (default: as in the fit).")
@click.option("--event", help="Column of events (default: as in the fit).")
@click.option("--horizon", type=click.FloatRange(min=0, min_open=True), help="Time at which risks are judged.")
@map_option
@decimal_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: MODEL itself.")
def evidence_(
    *,
    model: Path,
    data: Path,
    bootstrap: int,
    seed: int,
    time: str | None,
    event: str | None,
    horizon: float | None,
    mapping: Path | None,
    decimal: Decimal,
    out: Path | None,
) -> None:
    """Validate the file MODEL and put the figures, curves and distributions into it, before it is signed."""
    from vbq.cohort.validation.report import Asked, validate
    from vbq.monitor.evidence import with_evidence

    artefact = load_model(model)
    table = load_table(data, decimal, mapping)
    with counted(bootstrap) as tick:
        asked = Asked(time, event, horizon, bootstrap, seed, tick)
        found = validate(artefact, table, asked, digest_of(data))
    for text in found.warnings:
        click.echo(f"vbq: {text}", err=True)
    content = canonical(with_evidence(artefact, found, data.read_bytes(), data.name))
    write(out or model, content)
    click.echo(f"{found.document['kind']} validation written to {out or model}; sign it with `vbq model sign`")


@click.command("schema")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: print it.")
def schema_(*, out: Path | None) -> None:
    """The JSON Schema of a model file (docs/model.schema.json)."""
    text = schema_text()
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text.encode())


def schema_text() -> str:
    """docs/model.schema.json, as it must be."""
    return json.dumps(json_schema(), indent=2) + "\n"


def find(name: str) -> tuple[ModelArtefact, str, Stage | None]:
    """A model file where there is one of that name (read as it is, signed or not), else a model of the registry."""
    path = Path(name)
    if path.is_file():
        model = load_model(path)
        return model, digest(canonical(model)), None
    with site() as here:
        loaded = here.models.get(name)
        return loaded.artefact, loaded.digest, here.models.stage(loaded.digest)


def _lines(found: dict[str, Any]) -> list[str]:
    if found["same"]:
        return ["the same"]
    lines = [f"{name}: {row['old']} -> {row['new']}" for name, row in found["fields"].items()]
    for what in ("added", "removed"):
        lines += [f"predictor {what}: {name}" for name in found["covariates"][what]]
    for name, row in found["covariates"]["changed"].items():
        ratio, moved = row["hazard_ratio"], row["change_in_se"]
        lines.append(
            f"{name}: hazard ratio {ratio['old']:.3f} -> {ratio['new']:.3f}"
            + (f" ({moved:+.2f} SE)" if moved is not None else "")
        )
    if not found["baseline"]["same"]:
        lines.append("the baseline differs")
    for row in found["risks"]:
        values = ", ".join(f"{name} {value:g}" for name, value in row["inputs"].items())
        lines.append(f"{values}: risk {row['old']:.3f} -> {row['new']:.3f} ({row['difference']:+.3f})")
    for part in ("validation", "source_attributes", "software"):
        lines += [f"{part} differs: {', '.join(found[part])}"] if found[part] else []
    return lines
