"""`vbq audit`: check the chain of the audit log, hand it out as FHIR AuditEvents, keep a checkpoint elsewhere."""

import base64
import binascii
import datetime as dt
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import click
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from commands.events import store
from commands.exits import DONE, FAILED, print_json
from commands.key_files import read_key
from commands.operator import operator
from gateways.audit.log import Audit
from gateways.settings import load_settings
from schemas.audit import ACTIONS, AuditEntry, Checkpoint, Verified
from schemas.errors import NotAcceptable, NotConfigured
from schemas.fhir.audit_event import audit_event
from vbq.risk.artefact import canonical_json
from vbq.risk.signature import public_text

SOFTWARE = "vbq-cds"
MOMENTS = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command()
@click.option(
    "--checkpoint",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A file of `vbq audit checkpoint` that was kept elsewhere; may be given several times.",
)
@click.option("--head", "heads", multiple=True, metavar="NUMBER:HASH", help="As the sweeper's log said it.")
@click.option("--signed-by", help="Public key (base64) that must have signed the checkpoints.")
@as_json
def verify(*, files: tuple[Path, ...], heads: tuple[str, ...], signed_by: str | None, as_json: bool) -> int:
    """Read the whole log again: rows edited, removed, put in or moved. Exit 1 if it is not whole.

    The last rows can be cut off unseen by somebody who writes to the database past this program: a checkpoint shows it.
    """
    checkpoints = [*(read_checkpoint(path, signed_by) for path in files), *map(read_head, heads)]
    with store() as database:
        found = Audit(database).verify(checkpoints)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        say(found, len(checkpoints))
    return DONE if found.ok else FAILED


def say(found: Verified, checkpoints: int) -> None:
    """The findings for people."""
    for row in found.problems:
        place = f"row {row.sequence}" if row.sequence is not None else "the log"
        click.echo(f"{row.code:>10}  {place}: {row.text}")
    whole = "whole" if found.ok else "NOT WHOLE"
    against = f", {checkpoints} checkpoint(s) agree" if checkpoints and found.ok else ""
    click.echo(f"the audit log is {whole}: {found.rows} rows, {found.erased_rows} of them erased{against}")
    click.echo(f"head: {found.head or 'none yet'}")


@click.command()
@click.option("--since", type=MOMENTS, help="From this day or moment on (UTC unless it says otherwise).")
@click.option("--until", type=MOMENTS, help="Before this day or moment.")
@click.option("--patient", help="Only rows about this patient, e.g. Patient/p1.")
@click.option("--action", type=click.Choice(ACTIONS), help="Only rows of this kind.")
@click.option("--bundle", is_flag=True, help="One FHIR Bundle instead of one resource a line (NDJSON).")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout. Holds patient references."
)
def export(
    *,
    since: dt.datetime | None,
    until: dt.datetime | None,
    patient: str | None,
    action: str | None,
    bundle: bool,
    out: Path | None,
) -> None:
    """Hand out the log as FHIR R4B AuditEvents (IHE BALP patterns where they fit). The export is itself recorded."""
    software = f"{SOFTWARE} {version(SOFTWARE)}"
    host = urlsplit(load_settings().base_url).hostname or ""
    with store() as database:
        log = Audit(database)
        rows = log.rows(since=_utc(since), until=_utc(until), patient=patient, action=action)
        events = (audit_event(row, software=software, host=host) for row in rows)
        if out is None:
            count = _write(events, sys.stdout, bundle=bundle)
        else:
            try:
                with out.open("w", encoding="utf-8") as file:
                    count = _write(events, file, bundle=bundle)
            except OSError as error:
                raise NotConfigured(f"--out cannot be written: {error.strerror}; name another file") from error
        done = AuditEntry(
            actor_kind="command", actor=operator(), action="audit-exported", patient=patient, detail={"rows": count}
        )
        log.write([done])
    click.echo(f"{count} AuditEvents", err=True)


def _write(events: Iterator[dict[str, Any]], file: IO[str], *, bundle: bool) -> int:
    """Write them one by one: a log is longer than memory."""
    count = 0
    if bundle:
        file.write('{"resourceType": "Bundle", "type": "collection"')
    for event in events:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False)
        if bundle:
            lead = ', "entry": [' if count == 0 else ", "
            file.write(f'{lead}{{"fullUrl": "urn:uuid:{event["id"]}", "resource": {text}}}')
        else:
            file.write(text + "\n")
        count += 1
    if bundle:
        file.write("]}\n" if count else "}\n")
    return count


@click.command()
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="Private key (PEM) to sign it with.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout.")
def checkpoint(*, key_file: Path | None, out: Path | None) -> None:
    """State where the chain stands. Kept elsewhere, it makes a shortened or rewritten log visible to `verify`."""
    with store() as database:
        stated = Audit(database).checkpoint()
    document: dict[str, Any] = {"checkpoint": stated.model_dump(mode="json")}
    if key_file is not None:
        key = read_key(key_file)
        signature = key.sign(canonical_json(document["checkpoint"]))
        document |= {"ed25519": public_text(key.public_key()), "signature": base64.b64encode(signature).decode()}
    text = json.dumps(document, indent=2)
    if out is None:
        click.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise NotConfigured(f"--out cannot be written: {error.strerror}; name another file") from error


def read_head(text: str) -> Checkpoint:
    """NUMBER:HASH as a checkpoint. Raises NotAcceptable."""
    number, _, hash_ = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and re.fullmatch(r"[0-9a-f]{64}", hash_)):
        raise NotAcceptable("--head is NUMBER:HASH, with the 64 hex digits of the hash", code="not-a-checkpoint")
    return Checkpoint(sequence=int(number), hash=hash_, at=dt.datetime.now(dt.UTC))


def read_checkpoint(path: Path, signed_by: str | None) -> Checkpoint:
    """The checkpoint in a file. Raises NotAcceptable where it is none, or its signature does not hold."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = Checkpoint.model_validate(document["checkpoint"])
    except (ValueError, ValidationError, KeyError, TypeError) as error:
        raise NotAcceptable(f"{path.name} is no file of `vbq audit checkpoint`", code="not-a-checkpoint") from error
    public, signature = document.get("ed25519"), document.get("signature")
    if signed_by is not None and public != signed_by:
        raise NotAcceptable(f"{path.name} is not signed by the key of --signed-by", code="checkpoint-signature")
    if public is None and signature is None:
        return found
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(str(public), validate=True))
        key.verify(base64.b64decode(str(signature), validate=True), canonical_json(document["checkpoint"]))
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise NotAcceptable(f"the signature of {path.name} does not hold", code="checkpoint-signature") from error
    return found


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.replace(tzinfo=dt.UTC) if moment is not None and moment.tzinfo is None else moment
