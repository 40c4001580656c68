"""`vbq model add | deploy | shadow | rollback | revoke`: what is in the registry and which model speaks."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from commands.exits import print_json
from commands.key_files import read_key
from commands.model_sign import as_json, signature_file
from commands.operator import operator
from commands.site import Site, site
from gateways.audit.log import Audit
from gateways.registry.recall import recall, revive
from schemas.audit import AuditEntry
from schemas.errors import ModelRefused
from schemas.registry import Action, LogEntry
from vbq.risk.signature import public_text

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def signed_options(command: Decorated) -> Decorated:
    """--key, --why and --by of every change."""
    key = click.option(
        "--key",
        "key_file",
        type=click.Path(path_type=Path),
        required=True,
        help="Private key (PEM) of a deployer: its public half has the role deploy under model_keys in VBQ_CONFIG.",
    )
    why = click.option("--why", required=True, help="The reason; it stays in the log for ever. Nothing of a patient.")
    by = click.option("--by", help="Who decides (default: the name of the key).")
    return key(why(by(as_json(command))))


@click.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--signature", type=click.Path(path_type=Path), help="Default: <name>.sig.json beside FILE.")
@as_json
def add_(*, file: Path, signature: Path | None, as_json: bool) -> None:
    """Take a signed model FILE into the registry, as a candidate. Adding it twice changes nothing."""
    beside = signature or signature_file(file)
    try:
        signed = beside.read_bytes()
    except OSError as error:
        raise ModelRefused(
            f"the model is not signed: {beside.name} cannot be read; sign it with `vbq model sign`",
            code="model-signature",
        ) from error
    with site(writing=True) as here:
        model = here.models.add(file.read_bytes(), signed)
        stage = here.models.stage(model.digest)
        detail = {"model": model.digest[:12], "name": f"{model.artefact.id} {model.artefact.version}"}
        said = AuditEntry(actor_kind="command", actor=operator(), action="model-added", detail={**detail})
        Audit(here.database).write([said])
    found = {"id": model.artefact.id, "version": model.artefact.version, "digest": model.digest, "stage": stage}
    if as_json:
        print_json(found)
    else:
        click.echo(f"{stage}: {model.artefact.id} {model.artefact.version}, SHA-256 {model.digest}")


@click.command("deploy")
@click.argument("model", metavar="MODEL")
@signed_options
def deploy_(*, model: str, key_file: Path, why: str, by: str | None, as_json: bool) -> None:
    """Make MODEL (id, id@version or digest) the one that speaks, in every process within a second."""
    _change("deploy", model, key_file=key_file, why=why, by=by, as_json=as_json)


@click.command("shadow")
@click.argument("model", metavar="MODEL", required=False)
@click.option("--off", is_flag=True, help="Take the shadow model away.")
@signed_options
def shadow_(*, model: str | None, off: bool, key_file: Path, why: str, by: str | None, as_json: bool) -> None:
    """Have MODEL score every assessment beside the active model. Its scores are compared, never shown."""
    if (model is None) != off:
        raise click.UsageError("name a model, or say --off")
    _change("unshadow" if off else "shadow", model, key_file=key_file, why=why, by=by, as_json=as_json)


@click.command("rollback")
@signed_options
def rollback_(*, key_file: Path, why: str, by: str | None, as_json: bool) -> None:
    """Go back to the model that was active before this one and was not revoked."""
    _change("rollback", None, key_file=key_file, why=why, by=by, as_json=as_json)


@click.command("revoke")
@click.argument("model", metavar="MODEL")
@signed_options
def revoke_(*, model: str, key_file: Path, why: str, by: str | None, as_json: bool) -> None:
    """MODEL never scores again. There is no way back: sign a new version instead.

    If it is the active one nothing is scored until `vbq model rollback` or `vbq model deploy`.
    """
    _change("revoke", model, key_file=key_file, why=why, by=by, as_json=as_json)


def _change(action: Action, model: str | None, *, key_file: Path, why: str, by: str | None, as_json: bool) -> None:
    key = read_key(key_file)
    with site(writing=True) as here:
        who = by or _name_of_key(here, public_text(key.public_key()))
        entry = here.models.record(action, model, key=key, by=who, why=why)
        state = here.models.state()
        detail = {"change": entry.action, "model": (entry.digest or "")[:12], "line": entry.number}
        said = AuditEntry(actor_kind="command", actor=operator(), action="model-changed", detail=detail)
        Audit(here.database).write([said])
        if action in ("deploy", "rollback") and state.revoked:
            revive(here.database, state.revoked)
        stored = recall(here.database, entry.digest) if action == "revoke" and entry.digest else 0
    if stored:
        click.echo(
            f"vbq: {stored} stored assessments by it are made again, or withdrawn while no model may speak; their "
            "numbers are not shown from now on",
            err=True,
        )
    silent = state.active in state.revoked
    if silent:
        click.echo("vbq: the active model is revoked, so nothing is scored; roll back or deploy another one", err=True)
    if as_json:
        print_json({**entry_document(entry), "active": None if silent else state.active, "shadow": state.shadow})
    else:
        click.echo(f"{entry.number}. {entry.action} {entry.model or ''} by {entry.by}: {entry.why}")


def _name_of_key(here: Site, public: str) -> str:
    keys = here.settings.structured().model_keys
    return next((key.name for key in keys if key.ed25519 == public), "an unknown key")


def entry_document(entry: LogEntry) -> dict[str, object]:
    """A line of the log for people and programs."""
    return entry.model_dump(mode="json", exclude={"format"})
