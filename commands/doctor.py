"""`vbq doctor`: what is configured, what is reachable, which model is active, and the next step where one is wrong."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commands.doctor_fhir import servers
from commands.doctor_receive import receiver
from commands.exits import DONE, FAILED, print_json
from gateways.access.keys import parse_jwks, read_jwks
from gateways.access.remote_keys import fetch_jwks
from gateways.card_policy import card_policy
from gateways.pacs import archive, dimse
from gateways.queue import redis_server
from gateways.registry.models import Models
from gateways.settings import LOOPBACK, Settings, load_settings
from gateways.store.database import Database
from schemas.config import Config
from schemas.errors import Forbidden, NotConfigured, StoreUnavailable, TooLarge, Unavailable, VbqError

ENOUGH_FREE_BYTES = 2**30


class Check(NamedTuple):
    """One line of the report. `needed`: without it the service could not work."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def examine() -> list[Check]:
    """Every check, in the order in which one would mend them."""
    try:
        settings = load_settings()
        config = settings.structured()
    except NotConfigured as error:
        return [Check("configuration", ok=False, detail=error.detail)]
    source = f"{settings.config}" if settings.config else "environment alone, no VBQ_CONFIG"
    checks = [Check("configuration", ok=True, detail=f"read: {source}")]
    parts: list[Callable[[Settings, Config], Iterator[Check]]] = [
        _disk,
        _database,
        _broker,
        _model,
        _senders,
        _clients,
        _card_policy,
    ]
    for part in [*parts, _studies, _pacs, _receive, _fhir, _address]:
        checks.extend(part(settings, config))
    return checks


def _disk(settings: Settings, _: Config) -> Iterator[Check]:
    place = settings.data_dir.absolute()
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check("data directory", ok=False, detail=f"{place} cannot be written; set VBQ_DATA_DIR or mend its owner")
        return
    free = shutil.disk_usage(existing).free
    detail = f"{place}, {free / 2**30:.1f} GiB free"
    if free < ENOUGH_FREE_BYTES:
        yield Check("data directory", ok=False, detail=f"{detail}: less than 1 GiB; make room")
    else:
        yield Check("data directory", ok=True, detail=detail)


def _database(settings: Settings, _: Config) -> Iterator[Check]:
    kind = "PostgreSQL" if settings.database.startswith("postgres") else "SQLite"
    embedded = not settings.database_url
    if embedded and not (settings.data_dir / "vbq.sqlite3").exists():
        yield Check("database", ok=True, detail="SQLite, not made yet; `vbq up` or `vbq migrate` makes it")
        return
    try:
        database = Database(settings.database)
        try:
            database.check()
        finally:
            database.close()
    except (NotConfigured, StoreUnavailable) as error:
        yield Check("database", ok=False, detail=f"{kind}: {error.detail}; check VBQ_DATABASE_URL")
    else:
        yield Check("database", ok=True, detail=f"{kind}, answers, has its tables")


def _broker(settings: Settings, _: Config) -> Iterator[Check]:
    url = redis_server.broker_url(settings.redis_url, settings.data_dir)
    if url.startswith("amqp"):
        yield Check("broker", ok=True, detail="AMQP, configured; not tried (Redis alone is)")
    elif redis_server.answers(url):
        yield Check("broker", ok=True, detail="Redis, answers")
    elif settings.redis_url:
        yield Check("broker", ok=False, detail="Redis at VBQ_REDIS_URL does not answer; start it or correct the URL")
    else:
        try:
            redis_server.command(settings.data_dir)
        except NotConfigured as error:
            yield Check("broker", ok=False, detail=error.detail)
        else:
            yield Check("broker", ok=True, detail="embedded Redis, not running; `vbq up` starts it")


def _model(settings: Settings, _: Config) -> Iterator[Check]:
    try:
        database = Database(settings.database)
        try:
            loaded = Models(settings, database).active()
        finally:
            database.close()
    except VbqError as error:
        yield Check("model", ok=False, detail=error.detail)
    else:
        model = loaded.artefact
        detail = f"{model.id} {model.version}, digest {loaded.digest[:12]}, signature holds; {model.status}"
        yield Check("model", ok=True, detail=detail)


def _senders(settings: Settings, config: Config) -> Iterator[Check]:
    if settings.dev_open:
        yield Check("senders", ok=True, detail="authentication is OFF (VBQ_DEV_OPEN=1): anybody on this machine")
        return
    if not config.senders:
        detail = "none: every event gets 401; add `senders` to VBQ_CONFIG (docs/configuration.md)"
        yield Check("senders", ok=False, detail=detail)
    for sender in config.senders:
        names = [sender.hmac_secret_env] if isinstance(sender.hmac_secret_env, str) else sender.hmac_secret_env or []
        if unset := [name for name in names if not os.environ.get(name)]:
            detail = f"its hmac_secret_env names {', '.join(unset)}, which is not set"
            yield Check(f"sender {sender.name}", ok=False, detail=detail)
        else:
            yield Check(f"sender {sender.name}", ok=True, detail=str(sender.fhir_base_url or "no FHIR base"))


def _clients(settings: Settings, config: Config) -> Iterator[Check]:
    if settings.dev_open:
        yield Check("CDS clients", ok=True, detail="authentication is OFF (VBQ_DEV_OPEN=1): anybody on this machine")
        return
    if not config.cds_clients:
        detail = "none: every CDS Hooks call gets 401; add `cds_clients` to VBQ_CONFIG (docs/configuration.md)"
        yield Check("CDS clients", ok=False, detail=detail)
    for client in config.cds_clients:
        name = f"CDS client {client.name}"
        if client.jwks_file is None and client.jwks_url is None:
            origins = ", ".join(client.jku_origins)
            yield Check(name, ok=True, detail=f"{client.issuer}, keys where its tokens say, below {origins}")
            continue
        try:
            if client.jwks_file is not None:
                keys = read_jwks(client.jwks_file)
            else:
                keys = parse_jwks(fetch_jwks(str(client.jwks_url), private_network=client.private_network), "jwks_url")
        except (NotConfigured, Unavailable) as error:
            yield Check(name, ok=False, detail=error.detail)
        else:
            yield Check(name, ok=True, detail=f"{client.issuer}, {len(keys)} key(s), {', '.join(client.algorithms)}")


def _card_policy(_: Settings, config: Config) -> Iterator[Check]:
    try:
        policy = card_policy(config.cds.policy_file)
    except NotConfigured as error:
        yield Check("card policy", ok=False, detail=error.detail)
    else:
        yield Check("card policy", ok=True, detail=f"{policy.reviewed}; languages {', '.join(policy.texts)}")


def _studies(settings: Settings, config: Config) -> Iterator[Check]:
    own = settings.data_dir.absolute() / "studies"
    for root in config.study_roots:
        readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
        if readable:
            yield Check("study root", ok=True, detail=str(root), needed=False)
        elif root != own:
            yield Check("study root", ok=False, detail=f"{root} is not a readable directory; mend it or take it out")


def _pacs(_: Settings, config: Config) -> Iterator[Check]:
    """Away is not fatal: studies wait in the database. An archive that does not let us in is a matter of settings."""
    asked = [(pacs.name, partial(archive.lets_us_in, pacs)) for pacs in config.pacs]
    asked += [(place.name, partial(dimse.lets_us_in, place)) for place in config.dimse]
    for name, ask in asked:
        try:
            yield Check(f"PACS {name}", ok=True, detail=ask(), needed=False)
        except Unavailable as error:
            yield Check(f"PACS {name}", ok=False, detail=f"{error.detail}; its studies wait", needed=False)
        except (NotConfigured, Forbidden, TooLarge) as error:
            yield Check(f"PACS {name}", ok=False, detail=error.detail)


def _receive(settings: Settings, config: Config) -> Iterator[Check]:
    for row in receiver(settings, config):
        yield Check(*row)


def _fhir(settings: Settings, config: Config) -> Iterator[Check]:
    for row in servers(settings, config):
        yield Check(*row)


def _address(settings: Settings, _: Config) -> Iterator[Check]:
    detail = f"{settings.host}:{settings.port}, known to clients as {settings.base_url}"
    if settings.host not in LOOPBACK and settings.base_url.startswith("http://"):
        detail += "; CDS Hooks demands TLS: put an ingress in front and set VBQ_PUBLIC_URL to its https address"
    yield Check("address", ok=True, detail=detail, needed=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def doctor(*, as_json: bool) -> int:
    """Check the configuration, the systems around and the model; exit 1 if the service could not work."""
    checks = examine()
    healthy = all(check.ok for check in checks if check.needed)
    if as_json:
        rows = [{"name": row.name, "ok": row.ok, "needed": row.needed, "detail": row.detail} for row in checks]
        print_json({"ok": healthy, "checks": rows})
        return DONE if healthy else FAILED
    table = Table(show_header=False, box=None)
    for row in checks:
        mark = "[green]ok[/]" if row.ok else "[red]wrong[/]" if row.needed else "[yellow]away[/]"
        table.add_row(mark, row.name, escape(row.detail))
    console = Console()
    console.print(table)
    console.print("The service can work." if healthy else "The service could not work: mend what is marked wrong.")
    return DONE if healthy else FAILED
