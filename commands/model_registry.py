"""`vbq model list | show | log`: the models that there are, what is in them, and who deployed which when and why."""

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from commands.exits import FAILED, print_json
from commands.model_deploy import entry_document
from commands.model_sign import as_json
from commands.site import site
from schemas.model import ModelArtefact
from schemas.registry import Stage


@click.command("list")
@as_json
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """All models that can be trusted, and those that are refused (on stderr; exit status 1 if the active one is)."""
    with site() as here:
        opened, refused = here.models.all()
        active = here.models.state().active
    rows = [
        {
            "id": row.model.artefact.id,
            "version": row.model.artefact.version,
            "digest": row.model.digest,
            "stage": row.stage,
            "status": row.model.artefact.status,
        }
        for row in opened
    ]
    for lost in refused:
        click.echo(f"vbq: model {lost.name} ({lost.digest[:12]}) is refused: {lost.detail}", err=True)
    if as_json:
        print_json(rows)
    else:
        table = Table(Column("id", overflow="fold"), "version", "stage", "digest", "status")
        for line in rows:
            table.add_row(line["id"], line["version"], line["stage"], line["digest"][:12], line["status"])
        Console().print(table)
    if not any(row["digest"] == active and row["stage"] == "active" for row in rows):
        click.echo("vbq: no model is active; `vbq model rollback` or `vbq model deploy` makes one so", err=True)
        context.exit(FAILED)


@click.command("log")
@as_json
def log_(*, as_json: bool) -> None:
    """Who deployed which model when and why, oldest first; every signature and the chain are checked."""
    with site() as here:
        entries = here.models.log()
        head = here.models.state().head
    if as_json:
        print_json({"head": head, "entries": [entry_document(entry) for entry in entries]})
        return
    for entry in entries:
        moment = entry.at.isoformat(timespec="seconds")
        click.echo(f"{entry.number}. {moment} {entry.action} {entry.model or ''} by {entry.by}: {entry.why}")
    click.echo(f"head {head}: note it elsewhere, and a log that was cut short is found out")


@click.command("show")
@click.argument("model", metavar="MODEL")
@as_json
def show_(*, model: str, as_json: bool) -> None:
    """Everything that the file of MODEL (id, id@version or digest) says."""
    with site() as here:
        found = here.models.get(model)
        stage = here.models.stage(found.digest)
    if as_json:
        print_json({**found.artefact.model_dump(mode="json"), "digest": found.digest, "stage": stage})
        return
    _print_model(found.artefact, found.digest, stage)


def _print_model(model: ModelArtefact, file_digest: str, stage: Stage) -> None:
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("title", model.title),
        ("status", model.status),
        ("stage", stage),
        ("digest", file_digest),
        ("outcome", model.outcome),
        ("horizon", f"{model.horizon:g} {model.time_unit}"),
        ("population", model.population.description),
        ("training", f"N = {model.training.n}, {model.training.events} events. {model.training.description}"),
        ("published", model.training.published or "not available"),
        ("intended use", model.intended_use),
        ("caution", model.caution),
    ):
        facts.add_row(name, escape(value))
    console.print(f"{model.id} {model.version}", style="bold")
    console.print(facts)
    table = Table("covariate", "unit", "log hazard ratio", "SE", "centre", "training range", "accepted")
    for row in model.covariates:
        usual = f"{row.training.low:g} to {row.training.high:g}" if row.training else "not available"
        error = f"{row.standard_error:.4f}" if row.standard_error is not None else "not available"
        accepted = f"{row.physiological.low:g} to {row.physiological.high:g}"
        table.add_row(row.name, row.unit, f"{row.coefficient:.4f}", error, f"{row.centre:g}", usual, accepted)
    console.print(table)
    for attribute in model.source_attributes:
        text = f"{attribute.number}  {attribute.name}: {attribute.value or 'not available'}"
        console.print(text, soft_wrap=True, markup=False)
