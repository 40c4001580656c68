"""`vbq patients`: which records are of one person and why; following their ties anew."""

import click

from commands.events import store
from commands.exits import print_json
from commands.operator import operator
from commands.purge import key_of
from gateways.records.patients import Patients
from gateways.records.relinking import relink
from gateways.settings import load_settings

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command()
@click.argument("patient")
@as_json
def show_(*, patient: str, as_json: bool) -> None:
    """Show which records count for PATIENT (Patient/p1 or its absolute URL), and what stands in its place."""
    key = key_of(patient)
    systems = load_settings().structured().patient_identity.systems
    with store() as database, database.read() as connection:
        circle = Patients(database, systems=systems).circle(connection, key)
    standing = circle.standing(key)
    ties = {name: sorted(f"{tie.kind} {tie.value}" for tie in stated) for name, stated in circle.ties.items() if stated}
    document = {
        "patient": key,
        "known": key in circle.people,
        "records": list(standing.members),
        "replaced_by": standing.replaced_by,
        "unclear": standing.unclear,
        "remarks": [remark.model_dump() for remark in standing.remarks],
        "ties": ties,
    }
    if as_json:
        print_json(document)
        return
    click.echo(f"{key}: {'known' if key in circle.people else 'no Patient resource came yet'}")
    if standing.replaced_by:
        click.echo(f"replaced by {standing.replaced_by}")
    if standing.unclear:
        click.echo("replaced, and its links do not agree by which record")
    for name in standing.members[1:]:
        click.echo(f"the same person: {name}")
    for remark in standing.remarks:
        click.echo(f"{remark.code}: {remark.text}")


@click.command()
@as_json
def relink_(*, as_json: bool) -> None:
    """Read every stored Patient again, after `patient_identity` was changed; who is tied otherwise is asked for."""
    config = load_settings().structured()
    bases = {
        sender.name: sender.fhir_base_url.rstrip("/") if sender.fhir_base_url else None for sender in config.senders
    }
    with store() as database:
        done = relink(database, Patients(database, systems=config.patient_identity.systems), bases, actor=operator())
    if as_json:
        print_json(done._asdict())
    else:
        click.echo(f"{done.records} records read, {done.changed} are tied otherwise, {done.asked} are assessed again")
