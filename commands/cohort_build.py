"""`vbq cohort build`: a cohort file out of the store or a FHIR server, and a flow of who fell out where."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from commands.cohort_files import existing_file, load_table, write
from commands.exits import print_json
from commands.site import Site, site
from gateways.fhir.cohort_server import ServerSource
from gateways.fhir.http import Limits
from gateways.fhir.sources import of_sender, of_url
from gateways.records.cohort_source import CohortSource, StoredPatient
from gateways.records.facts import StoredResource
from schemas.errors import IdentityMismatch, NotAcceptable
from schemas.fhir.facts import patient_facts

if TYPE_CHECKING:
    from vbq.cohort.building.eligible import Recorded, Study
    from vbq.cohort.building.outcomes import Outcome

LIMITS: Final = Limits(reply_bytes=64 * 2**20, reply_seconds=300.0, silence_seconds=60.0, waits_seconds=600.0)
STATED: Final = ("Patient", "Observation", "Condition")
NOT_CODED: Final = (
    "spinal instrumentation, spinal infection and high-energy trauma have no code among those that the product reads; "
    "take such women out by hand"
)
BY_RECORD: Final = (
    "outcomes are Conditions recorded after the baseline: a fracture that nobody recorded is taken as none until the "
    "last entry of the record, and an old fracture that was recorded anew counts as a new one"
)
NO_SERVER: Final = "no FHIR server was asked: what was never sent to this product is not there"
BY_SERVER: Final = (
    "everything was read from the FHIR server; VBQ values are those that this product measured: of its store where it "
    "has the study, else as it sent them to the server, then without field strength and scanner"
)
STORE: Final = "the store of this site"


@click.command("build")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The cohort file, CSV.")
@click.option(
    "--outcomes",
    type=existing_file,
    help="CSV or Parquet: patient (as in the events), event (0 or 1), follow_up (years).  "
    "[default: Conditions of the record]",
)
@click.option("--flow", type=click.Path(dir_okay=False, path_type=Path), help="Who fell out where, as JSON.")
@click.option(
    "--minimum-years",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Leave out who was observed for less: the paper's rule; 0 where the times are those of the events.",
)
@click.option(
    "--baseline-days",
    type=click.IntRange(0, 365),
    default=30,
    show_default=True,
    help="So long after the study values still count as baseline, and fractures as earlier ones.",
)
@click.option("--unrecorded-history-is-no", is_flag=True, help="No record of an earlier fracture means none.")
@click.option("--fhir", "url", help="Read a FHIR server instead of the store: its base URL.")
@click.option("--sender", help="Read the server of a sender of the configuration instead of the store.")
@click.option("--json", "as_json", is_flag=True, help="Print the flow as one JSON document.")
def build_(
    *,
    out: Path,
    outcomes: Path | None,
    flow: Path | None,
    minimum_years: float,
    baseline_days: int,
    unrecorded_history_is_no: bool,
    url: str | None,
    sender: str | None,
    as_json: bool,
) -> None:
    """Make a cohort of the women in the store, or on a FHIR server, by the inclusion and exclusion rules of Lin et al.
    2025.

    The file names nobody: rows are numbered, dates are years. It is pseudonymous all the same, not anonymous.
    """
    from vbq.cohort.building.eligible import Rules, consider
    from vbq.cohort.building.file import build
    from vbq.cohort.building.outcomes import read_outcomes
    from vbq.cohort.errors import UnusableCohort

    if url is not None and sender is not None:
        raise click.UsageError("name the server by --fhir or by --sender, not by both")
    told = read_outcomes(load_table(outcomes)) if outcomes else None
    seen: set[str] = set()
    with site() as here:
        stored = here.database.exists() and here.database.has_table("inbox")
        asked = url is not None or sender is not None
        if not (stored or asked):
            raise UnusableCohort("there is no store yet: VBQ_DATA_DIR or VBQ_DATABASE_URL must be those of the stack")
        rules = Rules(
            here.settings.structured().merge,
            dt.datetime.now(dt.UTC),
            baseline_days,
            minimum_years,
            unrecorded_history_is_no,
        )
        server = server_of(here, url, sender, stored=stored) if asked else None
        people = people_of((server or CohortSource(here.database)).patients(), told or {}, seen)
        notes = [NOT_CODED, BY_SERVER if server else NO_SERVER, *([] if told is not None else [BY_RECORD])]
        options: dict[str, float | str | bool] = {
            "minimum_years": minimum_years,
            "baseline_days": baseline_days,
            "unrecorded_history_is_no": unrecorded_history_is_no,
            "outcomes": outcomes.name if outcomes else "Conditions",
        }
        found = [consider(person, rules, outcomes_given=told is not None) for person in people]
        if server is not None and server.passed_over:
            notes.append(f"{server.passed_over} resources of the server cannot be read and count as not there")
        if strangers := len(set(told or {}) - seen):
            notes.append(f"{strangers} lines of the file of outcomes name patients whom the store does not know")
        made = build(found, "a FHIR server" if server else STORE, options, notes)
    write(out, made.content)
    if flow is not None:
        write(flow, (made.flow.model_dump_json(indent=2) + "\n").encode())
    if as_json:
        print_json(json.loads(made.flow.model_dump_json()))
        return
    for step in made.flow.steps:
        click.echo(f"{step.n:7d}  {step.step}")
        for row in step.left_out:
            click.echo(f"           {row.n} left out: {row.text}")
    click.echo(f"{made.flow.n} women, {made.flow.events} events; written to {out}")
    for text in notes:
        click.echo(f"vbq: {text}", err=True)


def server_of(here: Site, url: str | None, sender: str | None, *, stored: bool) -> ServerSource:
    """The FHIR server to read. What the store measured counts beside what it sent there."""
    config = here.settings.structured()
    source, client = of_sender(config, sender, LIMITS) if sender else of_url(here.settings, url or "", LIMITS)
    own = CohortSource(here.database).measurements if stored else None
    scratch = here.settings.data_dir if here.settings.data_dir.is_dir() else None
    return ServerSource(source, client, scratch=scratch, own=own, say=lambda text: click.echo(f"vbq: {text}", err=True))


def people_of(patients: Iterator[StoredPatient], told: dict[str, "Outcome"], seen: set[str]) -> Iterator["Recorded"]:
    """Everybody without a name; the names that were met go to `seen`."""
    for stored in patients:
        seen.add(stored.patient)
        yield recorded(stored, told.get(stored.patient))


def recorded(stored: StoredPatient, outcome: "Outcome | None") -> "Recorded":
    """What the store says of one patient. A record that cannot be read as a whole is no record."""
    from vbq.cohort.building.eligible import Recorded

    gone = any(row.resource_type == "Patient" and row.deleted for row in stored.rows)
    rows = [json.loads(row.body) for row in stored.rows if row.resource_type in STATED and not row.deleted]
    try:
        facts = None if gone else patient_facts(rows)
    except (NotAcceptable, IdentityMismatch):
        facts = None
    studies = [row for row in stored.rows if row.interest == "study" and not row.deleted]
    return Recorded(facts, tuple(study_of(row, stored) for row in studies), outcome)


def study_of(row: StoredResource, stored: StoredPatient) -> "Study":
    """When its images were taken, by the images themselves, else as the ImagingStudy says; and what was measured."""
    from vbq.cohort.building.eligible import Study

    measurement = stored.measurements.get(row.subject)
    taken = measurement.acquisition.study_date if measurement is not None else None
    try:
        return Study(dt.date.fromisoformat((taken or json.loads(row.body).get("started") or "")[:10]), measurement)
    except ValueError:  # a month, a year, or nothing
        return Study(None, measurement)
