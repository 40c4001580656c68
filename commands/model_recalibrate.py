"""`vbq model recalibrate`: level and spread of a model fitted to local outcomes, as a new model file."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.cohort_files import decimal_option, digest_of, existing_file, load_table, map_option, write
from commands.exits import print_json
from commands.key_files import read_key
from commands.model_card import find
from commands.model_fit import UNITS, spelled
from commands.model_monitor import matched, outcomes_help
from commands.model_sign import as_json, signature_file
from commands.site import site
from schemas.model import ModelArtefact, TimeUnit
from vbq.cohort.data.table import Decimal, Table
from vbq.risk.artefact import canonical, digest
from vbq.risk.signature import sign

if TYPE_CHECKING:
    from vbq.monitor.cohort_file import Asked, FromFile
    from vbq.monitor.recalibration import Recalibration, Times


@click.command("recalibrate")
@click.argument("model", metavar="MODEL", required=False)
@click.option("--outcomes", type=existing_file, help=f"{outcomes_help} Joined with the stored assessments.")
@click.option("--data", type=existing_file, help="Instead: a cohort file with the model's covariates, as for validate.")
@click.option("--time", help="Column of follow-up times in --data. Default: as in the fit, else follow_up.")
@click.option("--event", help="Column of events in --data, 0 or 1. Default: as in the fit, else event.")
@click.option("--time-unit", type=click.Choice(UNITS), help="Of --data. Default: years, where that is plausible.")
@click.option(
    "--times",
    type=click.Choice(["visit", "exact"]),
    help="Whether times are those of the visit that found the event (default of --outcomes), or of the event itself. "
    "Default of --data: what they look like.",
)
@click.option("--intercept-only", is_flag=True, help="Leave the slope: for few outcomes.")
@click.option("--version", required=True, callback=spelled(r"\d+\.\d+\.\d+"), help="Of the new model, such as 1.1.0.")
@map_option
@decimal_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new model file.")
@click.option("--key", type=click.Path(path_type=Path), help="Sign it at once with this private key (PEM).")
@as_json
def recalibrate_(
    *,
    model: str | None,
    outcomes: Path | None,
    data: Path | None,
    time: str | None,
    event: str | None,
    time_unit: TimeUnit | None,
    times: "Times | None",
    intercept_only: bool,
    version: str,
    mapping: Path | None,
    decimal: Decimal,
    out: Path,
    key: Path | None,
    as_json: bool,
) -> None:
    """Fit level and spread of MODEL (default: the active one; or a model file) to local outcomes.

    The result is a new model, to be signed and added like any other. Give --outcomes FILE for patients whom this site
    has assessed, or --data FILE for any cohort with the model's covariates, event and follow-up.
    """
    from vbq.monitor.cohort_file import Asked
    from vbq.monitor.recalibration import Told, fit, recalibrated

    source = data or outcomes
    if source is None or (data is not None and outcomes is not None):
        raise click.UsageError("give one of --outcomes FILE and --data FILE")
    private = read_key(key) if key else None  # before the work, which may be long
    base, base_digest = _base(model)
    if version == base.version:
        raise click.BadParameter(f"{base.id} {version} is the model itself; choose another", param_hint="--version")
    asked = Asked(time, event, time_unit, times)
    table = load_table(source, decimal, mapping)
    found = _people(base, base_digest, table, asked, joined=data is None)
    result = fit(base, found.people, found.times, slope=not intercept_only)
    told = Told(version, source.name, base_digest, dt.datetime.now(dt.UTC).date(), digest_of(source))
    content = canonical(recalibrated(base, result, told))
    write(out, content)
    if private is not None:
        write(signature_file(out), (sign(content, private).model_dump_json(indent=2) + "\n").encode())
    for text in found.notes:
        click.echo(f"vbq: {text}", err=True)
    if base.training.data_digest == told.data_digest:
        click.echo("vbq: this is the file that the model was fitted to; use people whom it has never seen", err=True)
    if as_json:
        print_json({"id": base.id, "version": version, "digest": digest(content), **result.as_dict()})
        return
    for text in _lines(result):
        click.echo(text)
    click.echo(f"{base.id} {version} written to {out}, {'signed' if private else 'to be signed'}")


def _base(name: str | None) -> tuple[ModelArtefact, str]:
    """The model that is recalibrated, and its digest."""
    if name is not None:
        model, found, _ = find(name)
        return model, found
    with site() as here:
        loaded = here.models.deployed()
        return loaded.artefact, loaded.digest


def _people(model: ModelArtefact, found: str, table: Table, asked: "Asked", *, joined: bool) -> "FromFile":
    """Those of a cohort file, or (`joined`) those of the store who have an outcome in the file."""
    from vbq.monitor.cohort_file import FromFile, people_of_file

    if not joined:
        return people_of_file(model, table, asked)
    with site() as here:
        return FromFile(matched(here, model, found, table).people, asked.times or "visit", ())


def _lines(found: "Recalibration") -> list[str]:
    low, high = found.observed_to_expected_interval
    ratio = f"observed to expected {found.events / found.expected:.2f} (95 % interval {low:.2f} to {high:.2f})"
    (a_low, a_high), (b_low, b_high) = found.intercept_interval, found.slope_interval
    slope = f"slope {found.slope:.3f} ({b_low:.3f} to {b_high:.3f})" if b_low < b_high else "slope left at 1"
    warning = "the slope may be zero: here the model does not tell apart who will have the event; do not deploy it"
    doubt = [f"NOTE: {warning}"] if b_low <= 0 and b_low < b_high else []
    return [
        f"{found.n} people, {found.events} events, {found.expected:.1f} expected: {ratio}",
        f"intercept {found.intercept:+.3f} ({a_low:+.3f} to {a_high:+.3f}), {slope}",
        *doubt,
    ]
