"""`vbq model rescore`: stored assessments made again with the active model, by the workers, in batches."""

import time

import click
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from commands.exits import FAILED, print_json
from commands.model_sign import as_json
from commands.site import site
from gateways.registry.rescoring import Progress, Purpose, Rescoring
from schemas.errors import ModelRefused

LOOK_SECONDS = 0.2


@click.command("rescore")
@click.option("--shadow", is_flag=True, help="Fill in the shadow model's scores beside what is stored instead.")
@click.option("--at-once", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most jobs waiting.")
@click.option("--patience", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to wait.")
@click.option("--ask-only", is_flag=True, help="Do not wait for the workers after the last batch.")
@as_json
@click.pass_context
def rescore_(
    context: click.Context, *, shadow: bool, at_once: int, patience: float, ask_only: bool, as_json: bool
) -> None:
    """Have every stored assessment that another model made be made again with the active one.

    Workers must be running (`vbq up` or `vbq work`). Old assessments stay, superseded. Stop it at any time: called
    again it goes on. Exit status 1 if no worker took anything for the time of --patience.
    """
    purpose: Purpose = "shadow" if shadow else "active"
    with site(writing=True) as here:
        model = here.models.shadow() if shadow else here.models.active()
        if model is None:
            raise ModelRefused("there is no shadow model; `vbq model shadow` names one", code="no-shadow")
        work = Rescoring(here.database, model.digest, purpose)
        work.begin()
        moving = _follow(work, at_once, patience, wait=not ask_only)
        place, stale = work.progress(), work.stale()
    name = f"{model.artefact.id} {model.artefact.version}"
    if as_json:
        print_json({"model": name, "digest": model.digest, "purpose": purpose, **place.__dict__, "stale": stale})
    else:
        click.echo(f"{name}: asked for {place.asked}, {place.waiting} waiting, {stale} left")
    if place.dead:
        click.echo(f"vbq: {place.dead} patients could not be assessed; `vbq events dead` says why", err=True)
    if not moving:
        click.echo("vbq: no worker took anything; start one (`vbq up`) and call this again, it goes on", err=True)
        context.exit(FAILED)


def _follow(work: Rescoring, at_once: int, patience: float, *, wait: bool) -> bool:
    """Ask and watch until all is done; False where nothing moved for `patience` seconds."""
    with Bar(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("assessments")
        moved, last = time.monotonic(), work.progress()
        while True:
            asked = work.ask(at_once - last.waiting) if last.waiting < at_once and not last.finished else 0
            place = work.progress()
            _show(bar, line, place)
            if place.finished and (not wait or place.waiting == 0):
                return True
            if asked or place != last:
                moved = time.monotonic()
            elif time.monotonic() - moved > patience:
                return False
            last = place
            time.sleep(LOOK_SECONDS)


def _show(bar: Bar, line: TaskID, place: Progress) -> None:
    bar.update(line, total=max(place.asked + place.left, 1), completed=max(place.asked - place.waiting, 0))
