"""`vbq model fit | predict | validate`: from a cohort file to a model file, and back to people."""

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.cohort_files import (
    counted,
    decimal_option,
    digest_of,
    existing_file,
    load_model,
    load_table,
    make_folder,
    map_option,
    names_of,
    write,
)
from commands.exits import print_json
from schemas.model import PER_YEAR, TimeUnit
from vbq.cohort.data.table import Decimal
from vbq.cohort.fit import Fitted, Kind, Request
from vbq.cohort.sample_size import UNREACHABLE
from vbq.cohort.survival.risksets import Ties
from vbq.risk import artefact as artefact_file

if TYPE_CHECKING:
    from vbq.cohort.validation.report import Validation

UNITS = tuple(PER_YEAR)


def spelled(pattern: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A click callback that holds an option against a pattern."""

    def check(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise click.BadParameter(f"must look like {pattern}", param=parameter)
        return value

    return check


@click.command()
@click.argument("file", type=existing_file)
@click.option("--time", required=True, help="Column of follow-up times.")
@click.option("--time-unit", type=click.Choice(UNITS), help="Of that column. Default: years, where that is plausible.")
@click.option("--event", required=True, help="Column of events, 0 or 1.")
@click.option("--covariates", required=True, help="Columns, separated by commas.")
@click.option("--ties", type=click.Choice(["efron", "breslow"]), default="efron", show_default=True)
@click.option("--kind", type=click.Choice(["cox", "current-status"]), default="cox", show_default=True)
@click.option("--ridge", type=click.FloatRange(min=0), default=0.0, help="Penalty on squared coefficients per SD.")
@click.option("--rcs", help="Splines, as column:knots with 3 to 5 knots, separated by commas, e.g. vbq:4.")
@click.option("--missing", type=click.Choice(["complete", "mice"]), default="complete", show_default=True)
@click.option("--imputations", type=click.IntRange(min=2, max=1000), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the imputations.")
@click.option("--exact-times", is_flag=True, help="The times are those of the events, though they look like visits.")
@click.option("--horizon", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True, help="Years.")
@click.option("--id", "model_id", callback=spelled(r"[a-z0-9][a-z0-9._-]{1,63}"), help="Default: from the file's name.")
@click.option("--version", default="1.0.0", show_default=True, callback=spelled(r"\d+\.\d+\.\d+"))
@click.option("--title")
@click.option("--outcome", help="What the event is, for people.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which the model may be served.")
@map_option
@decimal_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The model file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def fit(
    *,
    file: Path,
    time: str,
    time_unit: TimeUnit | None,
    event: str,
    covariates: str,
    ties: Ties,
    kind: Kind,
    ridge: float,
    rcs: str | None,
    missing: str,
    imputations: int,
    seed: int,
    exact_times: bool,
    horizon: float,
    model_id: str | None,
    version: str,
    title: str | None,
    outcome: str | None,
    expires: dt.datetime | None,
    mapping: Path | None,
    decimal: Decimal,
    out: Path,
    as_json: bool,
) -> None:
    """Fit a model to a cohort FILE (CSV or Parquet) and write it as a model file."""
    from vbq.cohort.artefact import Labels, to_artefact
    from vbq.cohort.fitting import fit_cohort

    request = Request(
        time,
        event,
        names_of(covariates),
        kind,
        ties,
        ridge,
        exact_times,
        splines=splines_of(rcs),
        imputations=imputations if missing == "mice" else 0,
        seed=seed,
    )
    fitted = fit_cohort(load_table(file, decimal, mapping), request)
    labels = Labels(
        id=model_id or default_id(file, kind),
        version=version,
        source=file.name,
        digest=digest_of(file),
        created=dt.datetime.now(dt.UTC).date(),
        horizon_years=horizon,
        outcome=outcome,
        title=title,
        expires=expires.date() if expires else None,
        time_unit=time_unit,
    )
    model = to_artefact(fitted, labels)
    write(out, artefact_file.canonical(model))
    for text in fitted.warnings:
        click.echo(f"vbq: {text}", err=True)
    if time_unit is None and model.servable:
        click.echo("vbq: the times are taken to be years; say --time-unit to have that in the command", err=True)
    if not model.servable:
        click.echo(f"vbq: this model will not be served as a risk: {model.servable_reason}", err=True)
    if as_json:
        print_json({**fit_document(fitted), "servable": model.servable, "servable_reason": model.servable_reason})
    else:
        click.echo(fitted.fit.summary)
        click.echo(f"  C = {fitted.concordance:.4f} (SE {fitted.concordance_se:.4f})")
        click.echo(f"  proportional hazards: {p_values(fitted.ph_test)}")
        click.echo(f"  written to {out}")


def splines_of(text: str | None) -> tuple[tuple[str, int], ...]:
    """'vbq:4,age:3' as pairs. Raises a usage error."""
    found = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, _, knots = part.rpartition(":")
        if not name or knots.strip() not in {"3", "4", "5"}:
            raise click.BadParameter("write column:knots with 3, 4 or 5 knots, e.g. vbq:4", param_hint="--rcs")
        found.append((name.strip(), int(knots)))
    return tuple(found)


def default_id(file: Path, kind: str) -> str:
    """An identifier that the artefact allows, from the file's name."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._") or "cohort"
    return f"{stem}-{kind}"[:64]


def p_values(tests: dict[str, float | None]) -> str:
    """'age p = 0.12, GLOBAL p = 0.3'."""
    return ", ".join(f"{name} p = {p:.3g}" if p is not None else f"{name} not testable" for name, p in tests.items())


def reachable(people: int) -> int | None:
    """A number of people, None where no number would do."""
    return people if people < UNREACHABLE else None


def fit_document(fitted: Fitted) -> dict[str, object]:
    """What --json prints of a fit."""
    model, size = fitted.fit, fitted.adequacy
    rows = zip(model.names, model.coefficients, model.standard_errors, model.p_values, strict=True)
    return {
        "kind": fitted.request.kind,
        "ties": fitted.request.ties if fitted.request.kind == "cox" else None,
        "coefficients": {name: {"coef": float(b), "se": float(se), "p": float(p)} for name, b, se, p in rows},
        "concordance": fitted.concordance,
        "concordance_se": fitted.concordance_se,
        "n": model.n,
        "events": model.events,
        "log_likelihood": model.log_likelihood,
        "log_likelihood_null": model.log_likelihood_null,
        "ph_test": fitted.ph_test,
        "sample_size": {
            "wanted": [reachable(people) for people in size.wanted],
            "adequate": size.adequate,
            "shrinkage": [reachable(people) for people in size.for_shrinkage],
            "optimism": reachable(size.for_optimism),
            "overall_risk": size.for_overall_risk,
            "parameters_supported": list(size.parameters_supported),
        },
        "visit_times": fitted.visits.recognised,
        "warnings": list(fitted.warnings),
    }


@click.command()
@click.argument("model", type=existing_file)
@click.option("--data", type=existing_file, required=True, help="CSV or Parquet with the model's covariates.")
@click.option("--times", required=True, help="Times, separated by commas.")
@click.option("--time-unit", type=click.Choice(UNITS), help="Of --times. Default: the unit of the training file.")
@click.option("--incomplete", type=click.Choice(["refuse", "blank"]), default="refuse", show_default=True)
@map_option
@decimal_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="CSV to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def predict(
    *,
    model: Path,
    data: Path,
    times: str,
    time_unit: TimeUnit | None,
    incomplete: str,
    mapping: Path | None,
    decimal: Decimal,
    out: Path,
    as_json: bool,
) -> None:
    """Survival with 95 % limits of every row of a file: columns row, time, survival, lower, upper."""
    from vbq.cohort.prediction import predictions_csv

    moments = moments_of(times)
    artefact = load_model(model)
    per_unit = PER_YEAR[artefact.time_unit] / PER_YEAR[time_unit] if time_unit else 1.0
    text, rows, blank = predictions_csv(
        artefact, load_table(data, decimal, mapping), moments, incomplete == "blank", per_unit=per_unit
    )
    write(out, text.encode())
    if blank:
        click.echo(f"vbq: {blank} rows lack a covariate and are left blank", err=True)
    if as_json:
        print_json({"rows": rows, "times": moments, "blank": blank, "out": str(out)})
    else:
        click.echo(f"{rows} rows at {len(moments)} times written to {out}")


def moments_of(text: str) -> list[float]:
    """Times of a comma-separated option. Raises a usage error."""
    try:
        moments = [float(part) for part in next(csv.reader(io.StringIO(text)), []) if part.strip()]
    except ValueError as error:
        raise click.BadParameter("give numbers separated by commas, such as 1,2.5,5", param_hint="--times") from error
    if not moments:
        raise click.BadParameter("give at least one time", param_hint="--times")
    return moments


@click.command()
@click.argument("model", type=existing_file)
@click.option("--data", type=existing_file, required=True, help="The training file, or another cohort.")
@click.option("--bootstrap", type=click.IntRange(min=2, max=100_000), default=500, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--time", help="Column of follow-up times (default: as in the fit).")
@click.option("--event", help="Column of events (default: as in the fit).")
@click.option(
    "--horizon",
    type=click.FloatRange(min=0, min_open=True),
    help="Time at which risks are judged, in the unit of the file.",
)
@click.option("--compare", type=existing_file, help="A second model file, judged on the same people.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for validation.html and .json.")
@map_option
@decimal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def validate(
    *,
    model: Path,
    data: Path,
    bootstrap: int,
    seed: int,
    time: str | None,
    event: str | None,
    horizon: float | None,
    compare: Path | None,
    out: Path | None,
    mapping: Path | None,
    decimal: Decimal,
    as_json: bool,
) -> None:
    """Discrimination, calibration and usefulness of a model; on its training file corrected for optimism."""
    from vbq.cohort.validation.measures import compare as compare_people
    from vbq.cohort.validation.people import people_of
    from vbq.cohort.validation.report import Asked
    from vbq.cohort.validation.report import validate as validate_model

    artefact, table = load_model(model), load_table(data, decimal, mapping)
    with counted(bootstrap) as tick:
        asked = Asked(time, event, horizon, bootstrap, seed, tick)
        found = validate_model(artefact, table, asked, digest_of(data))
    document = found.document
    if compare is not None:
        other = people_of(load_model(compare), table, time=time, event=event, horizon=found.people.horizon)
        document["comparison"] = compare_people(found.people, other, bootstrap, seed)
    if out is not None:
        write_validation(out, found, artefact.title)
    for text in found.warnings:
        click.echo(f"vbq: {text}", err=True)
    if as_json:
        print_json(document)
        return
    click.echo(f"{artefact.id} {artefact.version}, {document['kind']} validation on {document['n']} people")
    for name in ("concordance", "slope", "brier", "ipa"):
        row = document[name]
        if isinstance(row, dict):
            click.echo(f"  {name:<12} " + ", ".join(f"{key} {value:.4f}" for key, value in row.items()))
    click.echo(
        "  calibration  " + ", ".join(f"{key} {value:.4f}" for key, value in found.calibration.as_dict().items())
    )


def write_validation(out: Path, found: "Validation", title: str) -> None:
    """validation.html (calibration, decision and ROC curves; stands alone) and validation.json in a folder."""
    from vbq.cohort.validation.page import validation_page

    page = validation_page(found, title, f"Made by vbq on {dt.datetime.now(dt.UTC).date()}.")
    make_folder(out)
    write(out / "validation.html", page.encode())
    write(out / "validation.json", json.dumps(found.document, indent=2, ensure_ascii=False, allow_nan=False).encode())
    click.echo(f"vbq: written to {out / 'validation.html'}", err=True)
