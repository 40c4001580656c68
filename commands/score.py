"""`vbq score`: one patient's risk from numbers given by hand. No record is read and nothing is stored."""

import datetime as dt

import click
from rich.console import Console
from rich.table import Table

from commands.exits import print_json
from commands.site import site
from schemas.model import Covariate, ModelArtefact
from vbq.risk.score import Prediction, Stated, predict, risk_class


@click.command()
@click.option("--vbq", type=float, help="VBQ, a ratio.")
@click.option("--t-score", type=float, help="DXA T-score of the lumbar spine (L1-L4).")
@click.option(
    "--input",
    "others",
    metavar="NAME=VALUE",
    multiple=True,
    help="Another covariate of the model, in its unit (`vbq model show ID` lists them); yes or no if binary.",
)
@click.option("--model", "model_id", metavar="MODEL", help="Id, id@version or digest (default: the active model).")
@click.option("--horizon", type=float, help="Years; default: the model's own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def score(
    *,
    vbq: float | None,
    t_score: float | None,
    others: tuple[str, ...],
    model_id: str | None,
    horizon: float | None,
    as_json: bool,
) -> None:
    """The risk of vertebral fracture for given values. Nothing is assumed for a value that is not given."""
    with site() as here:
        artefact = (here.models.usable(model_id) if model_id else here.models.active()).artefact
    given = {name: value for name, value in (("vbq", vbq), ("t_score", t_score)) if value is not None}
    values: dict[str, float | bool] = {**given, **_others(others, artefact)}
    known = {row.name: row for row in artefact.covariates}
    if surplus := sorted(values.keys() - known.keys()):
        raise click.UsageError(
            f"model {artefact.id} does not use {', '.join(surplus)}; it uses {', '.join(known)}: leave out the others"
        )
    found = predict(
        artefact, {name: Stated(value, known[name].unit) for name, value in values.items()}, horizon, on=_today()
    )
    if as_json:
        print_json(_document(artefact, values, found))
    else:
        _show(artefact, values, found)


def _others(pairs: tuple[str, ...], model: ModelArtefact) -> dict[str, float | bool]:
    known = {row.name: row for row in model.covariates}
    values: dict[str, float | bool] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name in values:
            raise click.UsageError("--input is NAME=VALUE, each name once")
        values[name] = _number(name, text, known.get(name))
    return values


def _number(name: str, text: str, covariate: Covariate | None) -> float | bool:
    if covariate is not None and covariate.kind == "binary" and text in {"yes", "no"}:
        return text == "yes"
    try:
        return float(text)
    except ValueError as error:
        raise click.UsageError(f"--input {name}: not a number; a decimal point, no unit") from error


def _document(model: ModelArtefact, values: dict[str, float | bool], found: Prediction) -> dict[str, object]:
    return {
        "model": model.id,
        "version": model.version,
        "horizon_years": found.horizon_years,
        "risk": found.risk,
        "lower": found.lower,
        "upper": found.upper,
        "level": 0.95,
        "risk_class": risk_class(found.risk, model.thresholds) if model.thresholds else None,
        "flags": [row.model_dump() for row in found.flags],
        "inputs": values,
        "status": model.status,
        "caution": model.caution,
    }


def _show(model: ModelArtefact, values: dict[str, float | bool], found: Prediction) -> None:
    table = Table(title=f"{model.id} {model.version}: risk within {found.horizon_years:g} years", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for row in model.covariates:
        unit = row.unit if row.unit not in {"1", "{T-score}"} else ""
        table.add_row(row.label, f"{values[row.name]:g} {unit}".strip())
    table.add_section()
    table.add_row("risk", f"{found.risk:.3f}", style="bold")
    table.add_row("95 % interval", f"{found.lower:.3f} to {found.upper:.3f}")
    console = Console()
    console.print(table)
    for flag in found.flags:
        console.print(f"note: {flag.text}", soft_wrap=True)
    console.print(f"{model.population.description}.", soft_wrap=True, style="dim")
    console.print(f"{model.caution} Research use: not a cleared medical device.", soft_wrap=True)


def _today() -> dt.date:
    return dt.datetime.now(tz=dt.UTC).date()
