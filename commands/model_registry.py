"""`vbq model sign|list|show`: the model files of this site and the shipped ones."""

import os
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Column, Table

from commands.exits import FAILED, print_json
from gateways.models import Models
from gateways.settings import load_settings
from schemas.errors import NotConfigured
from schemas.model import ModelArtefact
from vbq.risk.artefact import canonical, digest, parse
from vbq.risk.shipped import SIGNATURE_SUFFIX
from vbq.risk.signature import public_text, sign


@click.command("sign")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Ed25519 private key, PEM.")
@click.option("--new-key", is_flag=True, help="Make the key file; it must not exist yet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sign_(*, file: Path, key_file: Path, new_key: bool, as_json: bool) -> None:
    """Write FILE as canonical JSON and its signature beside it (<name>.sig.json).

    To serve the model, put both files into models/ below VBQ_DATA_DIR as <id>.json and <id>.sig.json, the printed
    public key under model_keys in VBQ_CONFIG, and the id into models/active.
    """
    key = _make_key(key_file) if new_key else _read_key(key_file)
    model = parse(file.read_bytes())
    content = canonical(model)
    signature = sign(content, key)
    beside = file.with_name(file.name.removesuffix(".json") + SIGNATURE_SUFFIX)
    file.write_bytes(content)
    beside.write_text(signature.model_dump_json(indent=2) + "\n", encoding="utf-8")
    public = public_text(key.public_key())
    if as_json:
        print_json(
            {
                "id": model.id,
                "version": model.version,
                "digest": digest(content),
                "signature": str(beside),
                "ed25519": public,
            }
        )
        return
    click.echo(f"signed {model.id} {model.version}, SHA-256 {digest(content)}")
    click.echo(f"signature: {beside}")
    click.echo(f"public key: {public}")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """All models that can be trusted, and those that are refused (on stderr; exit status 1 if the active one is)."""
    models = Models(load_settings())
    opened, refused = models.all()
    active = models.active_id()
    rows = [
        {
            "id": model.artefact.id,
            "version": model.artefact.version,
            "digest": model.digest,
            "stage": "active" if model.artefact.id == active else "candidate",
            "status": model.artefact.status,
        }
        for model in opened
    ]
    for row in refused:
        click.echo(f"vbq: model {row.id} is refused: {row.detail}", err=True)
    if as_json:
        print_json(rows)
    else:
        table = Table(Column("id", overflow="fold"), "version", "stage", "digest", "status")
        for line in rows:
            table.add_row(line["id"], line["version"], line["stage"], line["digest"][:12], line["status"])
        Console().print(table)
    if active not in {row["id"] for row in rows}:
        click.echo(f"vbq: the active model {active} is not among them; correct models/active", err=True)
        context.exit(FAILED)


@click.command("show")
@click.argument("model_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the artefact as one JSON document.")
def show_(*, model_id: str, as_json: bool) -> None:
    """Everything that a model's file says."""
    model = Models(load_settings()).get(model_id)
    if as_json:
        print_json({**model.artefact.model_dump(mode="json"), "digest": model.digest})
        return
    _print_model(model.artefact, model.digest)


def _print_model(model: ModelArtefact, file_digest: str) -> None:
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("title", model.title),
        ("status", model.status),
        ("digest", file_digest),
        ("outcome", model.outcome),
        ("horizon", f"{model.horizon:g} years"),
        ("population", model.population.description),
        ("training", f"N = {model.training.n}, {model.training.events} events. {model.training.description}"),
        ("published", model.training.published or "not available"),
        ("intended use", model.intended_use),
        ("caution", model.caution),
    ):
        facts.add_row(name, value)
    console.print(f"{model.id} {model.version}", style="bold")
    console.print(facts)
    table = Table("covariate", "unit", "log hazard ratio", "SE", "centre", "training range", "accepted")
    for row in model.covariates:
        usual = f"{row.training.low:g} to {row.training.high:g}" if row.training else "not available"
        error = f"{row.standard_error:.4f}" if row.standard_error is not None else "not available"
        accepted = f"{row.physiological.low:g} to {row.physiological.high:g}"
        table.add_row(row.name, row.unit, f"{row.coefficient:.4f}", error, f"{row.centre:g}", usual, accepted)
    console.print(table)
    for attribute in model.source_attributes:
        console.print(f"{attribute.number}  {attribute.name}: {attribute.value or 'not available'}", soft_wrap=True)


def _make_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        # readable by its owner alone from the first byte on, and never over an existing key
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise NotConfigured(f"the key file cannot be made: {error.strerror}; name a new file") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return key


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise NotConfigured(f"the key file cannot be read: {error.strerror}; --new-key makes one") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotConfigured("the key file is not an unencrypted PEM private key; --new-key makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NotConfigured("the key is not an Ed25519 key; --new-key makes one")
    return key
