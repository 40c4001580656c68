"""`vbq cards`: try the card policy before it is served, and see what clinicians do with the cards."""

import json
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table

from commands.exits import print_json
from gateways.records.feedback import Counted, Feedback
from gateways.settings import load_settings
from gateways.store.database import Database
from schemas.card_policy import CardPolicy
from schemas.cds import Hook
from schemas.config import Language
from schemas.errors import NotAcceptable, Rejected
from schemas.fhir.reference import read_reference


@click.command()
@click.option("--patient", required=True, metavar="REFERENCE", help="As the events call her, e.g. Patient/p1.")
@click.option("--hook", type=click.Choice(get_args(Hook)), help="Default: patient-view, or the request's own.")
@click.option("--request", "request_file", type=click.Path(path_type=Path, exists=True), help="A CDS Hooks request.")
@click.option("--order", metavar="TEXT", help="A draft order with these words, for the order hooks.")
@click.option("--user", default="Practitioner/preview", help="Who looks (an override silences one clinician).")
@click.option("--language", type=click.Choice(get_args(Language)), help="Default: the policy's.")
@click.option("--policy", type=click.Path(path_type=Path, exists=True), help="A card policy to try; default: in force.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def preview(
    *,
    patient: str,
    hook: Hook | None,
    request_file: Path | None,
    order: str | None,
    user: str,
    language: Language | None,
    policy: Path | None,
    as_json: bool,
) -> None:
    """The cards that a request would get now. Nothing is fetched, stored or sent."""
    asked = {
        "patient": patient,
        "request": request_of(patient, hook, request_file, order, user),
        "language": language,
        "policy": str(policy) if policy else None,
    }
    # services are started as programs, never imported by commands
    done = subprocess.run(
        [sys.executable, "-m", "services.preview"], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Rejected(done.stderr.strip().rpartition("\n")[2].removeprefix("vbq: ") or "the preview failed")
    answer = json.loads(done.stdout)
    if as_json:
        print_json(answer)
    else:
        show(answer)


def request_of(
    patient: str, hook: Hook | None, request_file: Path | None, order: str | None, user: str
) -> dict[str, Any]:
    """The request of the file, or the smallest one for the hook."""
    if request_file is not None:
        try:
            request: Any = json.loads(request_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise NotAcceptable("--request is not JSON; give the body of a CDS Hooks call", code="not-json") from error
        if not isinstance(request, dict):
            raise NotAcceptable("--request must hold one JSON object", code="not-an-object")
        return {**request, **({"hook": hook} if hook else {})}
    literal = read_reference(patient)
    if literal is None or literal.resource_type != "Patient":
        raise click.UsageError("--patient is a reference such as Patient/p1")
    hook = hook or ("order-sign" if order else "patient-view")
    context: dict[str, Any] = {"patientId": literal.resource_id, "userId": user}
    if hook != "patient-view":
        draft = {"resourceType": "ServiceRequest", "id": "draft", "code": {"text": order or ""}}
        context["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": draft}]}
        context["selections"] = ["ServiceRequest/draft"]
    return {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context}


def show(answer: dict[str, Any]) -> None:
    """Print the cards as an EHR might, and why there are none."""
    console = Console(width=100)
    console.print(f"trigger {answer['trigger']}; policy: {answer['policy']}", style="dim")
    if answer["silenced"]:
        console.print("This clinician overrode it with a reason: the card below would stay quiet.", style="yellow")
    if not answer["known"]:
        console.print("Nobody told us of this patient: no card.")
    elif not answer["cards"]:
        console.print(f"No card: the policy is quiet here (state: {answer['state'] or 'none yet'}).")
    for card in answer["cards"]:
        title = f"{card['indicator']}: {card['summary']}"
        console.print(Panel(Markdown(card.get("detail", "")), title=title, title_align="left"))
        for suggestion in card.get("suggestions", ()):
            console.print(f"  [suggestion] {suggestion['label']}", markup=False)
        for link in card.get("links", ()):
            console.print(f"  [{link['type']} link] {link['label']}: {link['url']}", markup=False)


@click.command()
@click.option("--days", type=click.FloatRange(min=0), help="Only what was received in the last so many days.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def report(*, days: float | None, as_json: bool) -> None:
    """How often cards were accepted or overridden, by hook, model version and reason."""
    settings = load_settings()
    database = Database(settings.database)
    database.check()
    counted = Feedback(database).counted(since=time.time() - days * 86400 if days is not None else 0.0)
    database.close()
    rows = summarised(counted)
    if as_json:
        print_json({"days": days, "rows": rows})
        return
    table = Table(title="Feedback on cards")
    for heading in ("service", "model", "told of", "accepted", "overridden", "with a reason"):
        table.add_column(heading)
    for row in rows:
        reasons = ", ".join(f"{code} {count}" for code, count in row["reasons"].items())
        rates = (f"{row[name]} ({100 * row[name] / row['cards']:.0f} %)" for name in ("accepted", "overridden"))
        table.add_row(row["service"], row["model"], str(row["cards"]), *rates, reasons)
    Console(width=120).print(table if rows else "No feedback yet.")


def summarised(counted: Iterable[Counted]) -> list[dict[str, Any]]:
    """One row per service and model, with rates and the reasons of overrides. Pure."""
    groups: dict[tuple[str, str], list[Counted]] = defaultdict(list)
    for row in counted:
        groups[row.service, row.model].append(row)
    found = []
    for (service, model), rows in sorted(groups.items()):
        total = {name: sum(row.cards for row in rows if row.outcome == name) for name in ("accepted", "overridden")}
        reasons = {row.reason or "none": row.cards for row in rows if row.outcome == "overridden"}
        cards = sum(row.cards for row in rows)
        rates = {f"{name}_rate": round(count / cards, 4) for name, count in total.items()}
        found.append({"service": service, "model": model, "cards": cards, **total, **rates, "reasons": reasons})
    return found


@click.command()
def schema() -> None:
    """Print the JSON Schema of the card policy."""
    print_json(CardPolicy.model_json_schema())
