"""`vbq ehr status`: the FHIR servers that we speak to, how it goes with them, and what was read from them."""

from typing import Any

import click

from commands.events import moment, store
from commands.exits import print_json
from gateways.fhir.backfill_state import BackfillState
from gateways.fhir.circuit import circuit_states
from gateways.fhir.watermarks import Watermarks


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def status_(*, as_json: bool) -> None:
    """Show circuits, reconciliation polls and back-fills. Nothing of a patient."""
    with store() as database:
        circuits = [
            {
                "system": one.system,
                "state": one.state,
                "failures": one.failures,
                "open_until": None if one.open_until is None else moment(one.open_until),
                "code": one.code,
                "changed": moment(one.changed),
            }
            for one in circuit_states(database)
        ]
        polls = [
            {
                "source": one.source,
                "type": one.resource_type,
                "seen_until": moment(one.seen_until),
                "polled_at": None if one.polled_at is None else moment(one.polled_at),
                "code": one.code,
            }
            for one in Watermarks(database).all()
        ]
        backfills = [
            {
                "id": one.id,
                "source": one.source,
                "mode": one.mode,
                "state": one.state,
                "new": one.fresh,
                "known": one.known,
                "passed_over": one.passed_over,
                "started": moment(one.started),
            }
            for one in BackfillState(database).latest()
        ]
    if as_json:
        print_json({"circuits": circuits, "polls": polls, "backfills": backfills})
        return
    for title, rows in (("circuits", circuits), ("polls", polls), ("back-fills", backfills)):
        click.echo(title if rows else f"{title}: none yet")
        for row in rows:
            click.echo(f"  {line(row)}")


def line(row: dict[str, Any]) -> str:
    """A row for people; what is not known is a dash."""
    return "  ".join(f"{name} {'-' if value is None else value}" for name, value in row.items())
