"""`vbq model shadow-report`: the shadow model's scores compared with the active model's."""

import datetime as dt
from pathlib import Path

import click

from commands.cohort_files import write
from commands.exits import print_json
from commands.model_sign import as_json
from commands.site import site
from gateways.registry.shadows import Shadows
from schemas.errors import ModelRefused
from vbq.monitor.comparison import compare


@click.command("shadow-report")
@click.argument("model", metavar="MODEL", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only scores from this day on.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as an HTML file too.")
@as_json
def shadow_report_(*, model: str | None, since: dt.datetime | None, out: Path | None, as_json: bool) -> None:
    """Compare the shadow model (or MODEL, an earlier one) with the models that were active beside it."""
    from vbq.monitor.pages import shadow_page

    with site() as here:
        shadow = here.models.get(model) if model else here.models.shadow()
        if shadow is None:
            raise ModelRefused(
                "there is no shadow model; name an earlier one, or begin with `vbq model shadow`", code="no-shadow"
            )
        begin = since.replace(tzinfo=dt.UTC).timestamp() if since else 0.0
        rows = Shadows(here.database).of(shadow.digest, since=begin) if here.database.exists() else []
        opened = [row.model for row in here.models.all()[0]]
    names = {row.digest: f"{row.artefact.id} {row.artefact.version}" for row in opened}
    name = f"{shadow.artefact.id} {shadow.artefact.version}"
    beside = sorted({names.get(row.active, row.active[:12]) for row in rows})
    first = since.date().isoformat() if since else None
    document = {"shadow": name, "digest": shadow.digest, "active": beside, "since": first, **compare(rows)}
    if out is not None:
        pairs = [(row.active_risk, row.risk) for row in rows if row.active_risk is not None and row.risk is not None]
        made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        write(out, shadow_page(document, pairs, made).encode())
    if as_json:
        print_json(document)
        return
    click.echo(f"{name} beside {', '.join(beside) or 'nothing yet'}: {document['both']} patients with both risks")
    found = document["agreement"]
    if found:
        spread = f"95 % of patients {found['lower']:+.3f} to {found['upper']:+.3f}"
        click.echo(f"  shadow minus active: mean {found['mean']:+.3f}, {spread}")
    click.echo(f"  in another risk class: {document['other_class']}")
    click.echo(f"  a number from the active model alone: {document['active_alone']}")
    click.echo(f"  a number from the shadow model alone: {document['shadow_alone']}")
