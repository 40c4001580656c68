"""Make the shipped model again: `./run python -m commands.published_model [--write]`.

Without --write: derive it, print the derivation, and say whether the shipped file is exactly that (exit status 1 if
not). With --write: write it beside its signature by a new key; the private key is thrown away, its public half goes
into trusted-keys.json, so only this one file can ever be signed by it.
"""

import json
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commands.exits import FAILED
from schemas.model import TrustedKey
from vbq.risk import published
from vbq.risk.artefact import canonical, digest
from vbq.risk.shipped import KEYS_FILE, SIGNATURE_SUFFIX
from vbq.risk.signature import public_text, sign

FOLDER = Path(published.__file__).parent / "models"


@click.command()
@click.option("--write", is_flag=True, help="Write the files, signed by a new key that is then thrown away.")
@click.pass_context
def published_model(context: click.Context, *, write: bool) -> None:
    """Derive lin2025-vbq-t from the printed figures."""
    model = published.build()
    content = canonical(model)
    click.echo(f"coefficients  {[(row.name, row.coefficient, row.standard_error) for row in model.covariates]}")
    click.echo(f"sd of the linear predictor  {published.linear_predictor_sd():.4f}")
    for shape in (1.0, 0.7, 1.5, 2.0):
        found = published.calibrate(weibull_shape=shape)
        click.echo(f"Weibull shape {shape:g}: S0(5) {found.survival:.4f}, SE(log H0) {found.se_log_hazard:.4f}")
    click.echo(f"SHA-256  {digest(content)}")
    path = FOLDER / f"{model.id}.json"
    if write:
        key = Ed25519PrivateKey.generate()
        signature = sign(content, key)
        trusted = TrustedKey(name=f"{model.id} {model.version}", ed25519=public_text(key.public_key()))
        path.write_bytes(content)
        (FOLDER / f"{model.id}{SIGNATURE_SUFFIX}").write_text(signature.model_dump_json(indent=2) + "\n")
        (FOLDER / KEYS_FILE).write_text(json.dumps([trusted.model_dump()], indent=2) + "\n")
    same = path.is_file() and path.read_bytes() == content
    click.echo("the shipped file is exactly this" if same else "the shipped file differs; --write replaces it")
    context.exit(0 if same else FAILED)


if __name__ == "__main__":
    published_model()
