"""`vbq subscribe`: have a FHIR server notify us. `vbq subscriptions`: what was heard from those that do."""

import json
import os
from typing import Any
from urllib.parse import urlsplit

import click

from commands.events import moment, store
from commands.exits import print_json
from gateways.access.logins import READING_AND_WRITING, login
from gateways.fhir.client import FhirClient
from gateways.fhir.http import FhirHttp
from gateways.fhir.server_subscriptions import apply, subscriptions_of
from gateways.fhir.servers import ehr_client
from gateways.fhir.subscriptions import Subscription, Subscriptions
from gateways.settings import LOOPBACK, Settings, load_settings
from schemas.config import Auth
from schemas.errors import EhrUnavailable, NotConfigured
from schemas.events import RELEVANT_TYPES
from schemas.fhir.reference import same_base
from schemas.fhir.subscription import Channel, Plan, backport, criteria_of, plan, rest_hook

Json = dict[str, Any]
HIDDEN = "(not shown)"
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command()
@click.option("--fhir", "base", required=True, help="FHIR base URL of the server.")
@click.option("--kind", type=click.Choice(["rest-hook", "backport"]), default="rest-hook", show_default=True)
@click.option("--endpoint", help="Where it notifies us; default: VBQ_PUBLIC_URL with /events.")
@click.option("--type", "types", multiple=True, type=click.Choice(RELEVANT_TYPES), help="Default: all that matter.")
@click.option("--narrow", is_flag=True, help="Only MR studies, and Observations with a code that we read.")
@click.option("--criteria", multiple=True, help="rest-hook: these instead, e.g. 'ImagingStudy?modality=MR'.")
@click.option("--topic", "topics", multiple=True, help="backport: canonical URLs of the server's topics.")
@click.option("--filter", "filters", multiple=True, help="backport: a filter of the topic.")
@click.option(
    "--content", type=click.Choice(["full-resource", "id-only", "empty"]), default="full-resource", show_default=True
)
@click.option("--heartbeat", type=click.IntRange(1), default=300, show_default=True, help="backport: seconds.")
@click.option("--token-env", help="Variable with the bearer token that the server sends us.")
@click.option("--hmac-secret-env", help="Variable with the secret that Medplum signs with.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; nothing is changed.")
@click.option("--remove", is_flag=True, help="Remove every Subscription that notifies the endpoint.")
@as_json
def subscribe(*, base: str, endpoint: str | None, dry_run: bool, remove: bool, as_json: bool, **given: Any) -> None:
    """Make, change or remove Subscriptions on a FHIR server, so that it notifies us. Doing it again changes nothing."""
    settings = load_settings()
    where = (endpoint or f"{settings.base_url}/events").rstrip("/")
    _check(base, where, given)
    wanted = [] if remove else _wanted(where, given)
    rows: list[tuple[str, Json]] = []
    try:
        with _client(settings, base.rstrip("/")) as client:
            todo = plan(subscriptions_of(client, where), wanted, where, exact=remove)
            if dry_run:
                rows = _named(todo)
            else:
                apply(client, todo, lambda step, row: rows.append((step, row)))
    except EhrUnavailable as error:
        what = error.detail.partition(";")[0]
        raise EhrUnavailable(
            f"{what}; {len(rows)} Subscriptions were done. Check --fhir and the server, and run this again: what is "
            "done stays as it is",
            code=error.reason_code,
        ) from error
    report(rows, where, dry_run=dry_run, as_json=as_json)


def _check(base: str, endpoint: str, given: Json) -> None:
    for url, name in ((base, "--fhir"), (endpoint, "--endpoint")):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise click.UsageError(f"{name} must be an http(s) URL")
    if given["kind"] == "backport" and not given["topics"]:
        raise click.UsageError(
            "--kind backport needs --topic: what its server can tell of (Basic?code=SubscriptionTopic)"
        )
    if given["kind"] != "backport" and (given["topics"] or given["filters"]):
        raise click.UsageError("--topic and --filter belong to --kind backport")
    if urlsplit(endpoint).hostname in LOOPBACK and urlsplit(base).hostname not in LOOPBACK:
        raise click.UsageError(
            "the endpoint is this machine's loopback address, which that server cannot reach: --endpoint"
        )


def _wanted(endpoint: str, given: Json) -> list[Json]:
    token, secret = _secret(given["token_env"]), _secret(given["hmac_secret_env"])
    channel = Channel(endpoint, (f"Authorization: Bearer {token}",) if token else (), secret)
    if given["kind"] == "backport":
        shape: Json = {
            "content": given["content"],
            "heartbeat_seconds": given["heartbeat"],
            "filters": given["filters"],
        }
        return [backport(topic, channel, **shape) for topic in given["topics"]]
    types = given["types"] or RELEVANT_TYPES
    criteria = given["criteria"] or [criteria_of(kind, narrow=given["narrow"]) for kind in types]
    return [rest_hook(one, channel) for one in criteria]


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise NotConfigured(f"the variable {variable} holds nothing; set it to the secret that the server shall send")
    return value


def _client(settings: Settings, base: str) -> FhirClient:
    """With the login that the configuration has for this server, as the EHR or as a sender; else without one."""
    config = settings.structured()
    if config.ehr is not None and same_base(config.ehr.base_url, base):
        return ehr_client(config.ehr)
    sender = next((one for one in config.senders if one.fhir_base_url and same_base(one.fhir_base_url, base)), None)
    # An address that is typed here is the operator's own choice, also within a private network.
    private, ca_file = (sender.private_network, sender.ca_file) if sender else (True, None)
    mine = login(
        (sender.reads if sender else None) or Auth(),
        base_url=base,
        setting=f"senders: {sender.name if sender else ''}: reads",
        private_network=private,
        ca_file=ca_file,
        scopes=READING_AND_WRITING,
    )
    return FhirClient(FhirHttp(base, mine, private_network=private, ca_file=ca_file))


def _named(todo: Plan) -> list[tuple[str, Json]]:
    steps = {"create": todo.create, "update": todo.update, "keep": todo.keep, "remove": todo.remove}
    return [(step, row) for step, rows in steps.items() for row in rows]


def report(rows: list[tuple[str, Json]], endpoint: str, *, dry_run: bool, as_json: bool) -> None:
    """What was done, or would be; secrets are left out."""
    if as_json or dry_run:
        found = [{"step": step, "subscription": shown(row)} for step, row in rows]
        print_json({"endpoint": endpoint, "dry_run": dry_run, "subscriptions": found})
        return
    for step, row in rows:
        click.echo(f"{step:>8}  Subscription/{row.get('id', '?')}  {row.get('criteria', '')}")
    if not rows:
        click.echo("there was nothing to do", err=True)


def shown(subscription: Json) -> Json:
    """A Subscription without its secrets."""
    found: Json = json.loads(json.dumps(subscription))
    channel = found.get("channel", {})
    if "header" in channel:
        channel["header"] = [f"{name.partition(':')[0]}: {HIDDEN}" for name in channel["header"]]
    for extension in found.get("extension", []):
        if "secret" in str(extension.get("url", "")) and "valueString" in extension:
            extension["valueString"] = HIDDEN
    return found


@click.command()
@as_json
def subscriptions(*, as_json: bool) -> None:
    """List the subscriptions that notified us: how far each counted, what is missing, when it was last heard."""
    with store() as database:
        rows = [document(row) for row in Subscriptions(database).list()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("no subscription has notified us yet; `vbq subscribe` makes them", err=True)
    for row in rows:
        missing = f"{row['missing']} missing" if row["missing"] else "none missing"
        counted = f"{row['events']} events, {missing}"
        click.echo(f"{row['source']}/{row['id']}  {row['status'] or '-'}  {counted}, heard {row['heard']}")


def document(row: Subscription) -> Json:
    """A subscription for people and programs; times in ISO 8601."""
    return {
        "source": row.source,
        "id": row.id,
        "topic": row.topic,
        "status": row.status,
        "handshake": moment(row.handshake_at) if row.handshake_at is not None else None,
        "heard": moment(row.heard_at),
        "events": row.numbers.top,
        "missing": row.missing,
        "gaps": row.gaps,
        "resets": row.resets,
        "search_wanted": row.search_from is not None,
    }
