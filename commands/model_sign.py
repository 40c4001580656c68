"""`vbq model key | sign`: keys, and signatures under model files."""

from pathlib import Path

import click

from commands.exits import print_json
from commands.key_files import make_key, read_key
from schemas.errors import NotConfigured
from vbq.risk.artefact import canonical, digest, parse
from vbq.risk.shipped import SIGNATURE_SUFFIX
from vbq.risk.signature import public_text, sign

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("key")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def key_(*, file: Path, as_json: bool) -> None:
    """Make FILE, a new Ed25519 private key, and print its public half for model_keys in VBQ_CONFIG."""
    public = public_text(make_key(file).public_key())
    if as_json:
        print_json({"ed25519": public})
        return
    click.echo(f"public key: {public}")
    click.echo("To trust it, add it to model_keys in VBQ_CONFIG with a name and roles: [sign], [deploy] or both.")


@click.command("sign")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Ed25519 private key, PEM.")
@click.option("--new-key", is_flag=True, help="Make the key file; it must not exist yet.")
@as_json
def sign_(*, file: Path, key_file: Path, new_key: bool, as_json: bool) -> None:
    """Write FILE as canonical JSON and its signature beside it (<name>.sig.json).

    The signature counts where the printed public key stands under model_keys in VBQ_CONFIG with the role `sign`.
    `vbq model add` then takes the file into the registry and `vbq model deploy` makes it the one that speaks.
    """
    key = make_key(key_file) if new_key else read_key(key_file)
    model = parse(file.read_bytes())
    content = canonical(model)
    signature = sign(content, key)
    beside = signature_file(file)
    try:
        file.write_bytes(content)
        beside.write_text(signature.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise NotConfigured(f"the signed file cannot be written: {error.strerror}; copy it elsewhere first") from error
    public = public_text(key.public_key())
    if as_json:
        found = {"id": model.id, "version": model.version, "digest": digest(content)}
        print_json({**found, "signature": str(beside), "ed25519": public})
        return
    click.echo(f"signed {model.id} {model.version}, SHA-256 {digest(content)}")
    click.echo(f"signature: {beside}")
    click.echo(f"public key: {public}")


def signature_file(model: Path) -> Path:
    """Where the signature of a model file lies."""
    return model.with_name(model.name.removesuffix(".json") + SIGNATURE_SUFFIX)
