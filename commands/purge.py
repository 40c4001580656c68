"""`vbq purge`: erase one patient, or what is older than so many days."""

from typing import Any

import click

from commands.events import store
from commands.exits import DONE, FAILED, print_json
from commands.operator import operator
from gateways.records.erasure import Erased, Erasure, Found
from gateways.records.retention import Retention
from gateways.settings import Settings, load_settings
from schemas.errors import NotAcceptable
from schemas.fhir.reference import read_reference


@click.command()
@click.option("--patient", help="Whom to erase, as the events call her: Patient/p1, or the absolute URL.")
@click.option("--only-this-record", is_flag=True, help="Leave other records of the same person (merges, identifiers).")
@click.option("--older-than", type=click.FloatRange(0), metavar="DAYS", help="What is done and superseded for so long.")
@click.option("--yes", is_flag=True, help="Do it. Without it the command shows what it would erase.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def purge(*, patient: str | None, only_this_record: bool, older_than: float | None, yes: bool, as_json: bool) -> int:
    """Erase everything about one patient, or what is too old. There is no way back.

    Nothing of a patient is kept by which she could be kept out: a new event about her brings her back.
    """
    if (patient is None) == (older_than is None):
        raise click.UsageError("say --patient, or --older-than")
    if older_than is not None:
        return _too_old(older_than, yes=yes, as_json=as_json)
    assert patient is not None, "one of the two was given"
    key = key_of(patient)
    settings = load_settings()
    with store() as database:
        erasure = Erasure(settings, database)
        found = erasure.look(key, only_this_record=only_this_record)
        if not found.anything:
            click.echo("vbq: nothing is stored about this patient under this reference", err=True)
            if as_json:
                print_json({"erased": False, **document(found, settings)})
            return FAILED
        if not yes:
            _show(found, as_json=as_json, settings=settings)
            return DONE
        erased = erasure.erase(found, actor=operator())
    if as_json:
        print_json({"erased": True, **document(erased.found, settings), **outcome(erased)})
    else:
        _tell(erased, settings)
    return DONE if erased.bytes_gone is not False else FAILED


def key_of(patient: str) -> str:
    """The patient key that an operator means. Raises NotAcceptable."""
    reference = patient if "/" in patient else f"Patient/{patient}"
    literal = read_reference(reference)
    if literal is None or literal.resource_type != "Patient" or literal.version is not None:
        raise NotAcceptable("--patient must be Patient/id, or the absolute URL of a Patient", code="patient-reference")
    return reference


def document(found: Found, settings: Settings) -> dict[str, Any]:
    """What there is, for people and programs."""
    return {
        "patients": found.patients,
        "rows": found.rows,
        "directories": [str(place) for place in found.directories],
        "outside": outside(found, settings),
    }


def outcome(erased: Erased) -> dict[str, Any]:
    """What was done, for programs."""
    return {
        "audit_rows": erased.audit_rows,
        "cached_studies": erased.cached_studies,
        "directories_removed": erased.directories,
        "bytes_gone": erased.bytes_gone,
        "receipt": erased.receipt,
    }


def outside(found: Found, settings: Settings) -> list[str]:
    """What this program cannot erase, and what to do about it."""
    config = settings.structured()
    said = []
    if config.ehr is not None and found.sent:
        said.append(
            f"the EHR at {config.ehr.base_url} got {len(found.sent)} results: RiskAssessment "
            + ", ".join(found.sent[:20])
        )
    archives = [pacs.name for pacs in config.pacs if pacs.store_evidence]
    if archives:
        said.append(f"evidence of measurements may lie in the archives {', '.join(archives)}, beside the studies")
    if found.elsewhere:
        said.append(f"files of {found.elsewhere} studies lie outside VBQ_DATA_DIR/studies; they were not touched")
    said.append("backups and exports of this database, of the audit log and of cohort files: erase there too")
    if settings.database.startswith("postgres"):
        said.append("PostgreSQL overwrites freed pages in time; VACUUM FULL does it now, WAL archives keep old pages")
    said.append("senders: the next event about her brings her back")
    return said


def _show(found: Found, *, as_json: bool, settings: Settings) -> None:
    if as_json:
        print_json({"erased": False, **document(found, settings)})
        return
    click.echo(f"would erase {', '.join(found.patients)}:")
    for name, count in found.rows.items():
        click.echo(f"{count:>8}  {name}")
    for place in found.directories:
        click.echo(f"          {place}")
    for line in outside(found, settings):
        click.echo(f"outside: {line}")
    click.echo("say --yes to do it")


def _tell(erased: Erased, settings: Settings) -> None:
    rows = sum(erased.found.rows.values())
    click.echo(f"erased: {rows} rows, {erased.cached_studies} cached studies, {erased.directories} directories")
    click.echo(f"the audit log names her no more in {erased.audit_rows} rows")
    if erased.bytes_gone is False:
        click.echo(
            "NOT YET OVERWRITTEN: readers kept the database file in use; stop the service for a moment and say "
            "`vbq purge --older-than 36500 --yes`, which rewrites it",
            err=True,
        )
    for line in outside(erased.found, settings):
        click.echo(f"outside: {line}")
    click.echo(f"receipt: {erased.receipt}")


def _too_old(days: float, *, yes: bool, as_json: bool) -> int:
    from gateways.records.erasure import scrub

    if not yes:
        raise click.UsageError("--older-than erases for good; say --yes")
    settings = load_settings()
    with store() as database:
        removed = Retention(database).apply(days, actor=operator(), kind="command")
        gone = scrub(settings) if database.is_sqlite else None
    if as_json:
        print_json({**removed._asdict(), "bytes_gone": gone})
    else:
        parts = (f"{removed.event_bodies} bodies of events", f"{removed.assessments} superseded assessments")
        click.echo(f"removed: {', '.join(parts)}, the words of {removed.feedback_bodies} feedback entries")
    return DONE if gone is not False else FAILED
