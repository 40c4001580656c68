"""`vbq model monitor`: is the model still right here?"""

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.cohort_files import existing_file, load_table, make_folder, write
from commands.exits import FAILED, print_json
from commands.model_sign import as_json
from commands.site import Site, site
from gateways.registry.monitoring import Monitoring
from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from vbq.cohort.data.table import Table

if TYPE_CHECKING:
    from vbq.monitor.outcomes import Matched
    from vbq.monitor.recalibration import Times

MOST_PATIENTS = 20_000  # the newest of each period; a distribution needs no more
NO_OUTCOMES = "No outcomes were given (--outcomes), so calibration is not known."
outcomes_help = "CSV or Parquet: patient (as in the events), event (0 or 1), date (of it, or of the last look)."
times_option = click.option(
    "--times",
    type=click.Choice(["visit", "exact"]),
    default="visit",
    show_default=True,
    help="Whether the dates are those of the visit that found the event, or of the event itself.",
)


@click.command("monitor")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--days", type=click.IntRange(1), default=90, show_default=True, help="Length of the window.")
@click.option("--outcomes", type=existing_file, help=outcomes_help)
@times_option
@click.option("--fail-on-alert", is_flag=True, help="Exit status 1 where there is an alert.")
@as_json
@click.pass_context
def monitor_(
    context: click.Context,
    *,
    out: Path,
    days: int,
    outcomes: Path | None,
    times: "Times",
    fail_on_alert: bool,
    as_json: bool,
) -> None:
    """Drift, missing inputs, scanners and calibration of the active model: OUT/monitor.html and OUT/monitor.json.

    Thresholds are `monitoring` in VBQ_CONFIG. /metrics shows the figures of the last run.
    """
    from vbq.monitor.observed import observed
    from vbq.monitor.outcomes import calibration
    from vbq.monitor.pages import monitoring_page
    from vbq.monitor.watch import watch

    end = dt.datetime.now(dt.UTC)
    begin = end - dt.timedelta(days=days)
    missing, figures = NO_OUTCOMES, None
    with site(writing=True) as here:
        model = here.models.deployed()
        store, policy = Monitoring(here.database), here.settings.structured().monitoring
        edge = begin.timestamp()
        window = store.current(since=edge, until=end.timestamp(), most=MOST_PATIENTS)
        past = store.current(since=0.0, until=edge, most=MOST_PATIENTS)
        now, before = ([observed(row.body, model.artefact) for row in rows] for rows in (window, past))
        if outcomes is not None:
            try:
                figures, _ = calibration(
                    model.artefact, matched(here, model.artefact, model.digest, load_table(outcomes)), times
                )
            except ModelRefused as error:
                missing = error.detail
        document = watch(model.artefact, now, before, policy, figures)
        document |= {
            "digest": model.digest,
            "window": {"since": begin.date().isoformat(), "until": end.date().isoformat()},
            "thresholds": policy.model_dump(),
            "calibration_missing": None if figures else missing,
        }
        store.keep(model.digest, document)
    make_folder(out)
    write(out / "monitor.json", (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
    write(out / "monitor.html", monitoring_page(document, end.strftime("%Y-%m-%d %H:%M UTC")).encode())
    if as_json:
        print_json(document)
    else:
        name = f"{model.artefact.id} {model.artefact.version}"
        click.echo(f"{name}: {document['n']} patients in {days} days; see {out / 'monitor.html'}")
        for alert in document["alerts"]:
            click.echo(f"  ALERT {alert['text']}")
    if fail_on_alert and document["alerts"]:
        context.exit(FAILED)


def matched(here: Site, model: ModelArtefact, digest: str, table: Table) -> "Matched":
    """Outcomes of a file beside the risks that the model of that digest gave."""
    from vbq.monitor.observed import observed
    from vbq.monitor.outcomes import match, read_outcomes

    outcomes = read_outcomes(table)
    rows = Monitoring(here.database).complete(digest, list(outcomes)) if here.database.exists() else []
    return match(outcomes, ((row.patient, observed(row.body, model)) for row in rows))
