"""A site with keys of its own: signs models, deploys them, breaks the rules when a test asks for it."""

from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateways.registry.models import Models
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.model import ModelArtefact
from schemas.registry import LogEntry
from vbq.risk.artefact import canonical
from vbq.risk.published import build
from vbq.risk.signature import LoadedModel, public_text, sign


def own_model(version: str = "1.0.0", model_id: str = "our-own", **changes: Any) -> ModelArtefact:
    """The published model under another name."""
    return build().but(id=model_id, version=version, **changes)


def stronger(model: ModelArtefact, factor: float) -> ModelArtefact:
    """The model with its baseline hazard multiplied, so that it says something else of everybody."""
    point = model.baseline.points[0]
    raised = point.but(cumulative_hazard=point.cumulative_hazard * factor, variance=point.variance * factor**2)
    return model.but(baseline=model.baseline.but(points=[raised]))


class SiteKeys:
    """A signer's key and a deployer's, and the configuration that trusts them."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.signer, self.deployer = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.config = folder / "vbq.yaml"
        self.trust({"deployer": (self.deployer, ["deploy"]), "signer": (self.signer, ["sign"])}, **more)
        self.settings = Settings(data_dir=folder, config=self.config)

    def trust(self, keys: dict[str, tuple[Ed25519PrivateKey, list[str]]], **more: Any) -> None:
        rows = [
            {"name": name, "ed25519": public_text(key.public_key()), "roles": roles}
            for name, (key, roles) in keys.items()
        ]
        self.config.write_text(yaml.safe_dump({"model_keys": rows, **more}))

    def pem(self, path: Path, key: Ed25519PrivateKey) -> Path:
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(key.private_bytes(*encoding))
        return path


class Registrar:
    """Adds and deploys in one database, as the commands do."""

    def __init__(self, keys: SiteKeys, database: Database) -> None:
        self.keys = keys
        self.database = database
        self.models = self.replica()

    def replica(self) -> Models:
        """What another process would see."""
        return Models(self.keys.settings, self.database)

    def add(self, model: ModelArtefact, key: Ed25519PrivateKey | None = None) -> LoadedModel:
        content = canonical(model)
        return self.models.add(content, sign(content, key or self.keys.signer).model_dump_json().encode())

    def record(self, action: Any, name: str | None = None, key: Ed25519PrivateKey | None = None) -> LogEntry:
        return self.models.record(action, name, key=key or self.keys.deployer, by="a tester", why="because of a test")
