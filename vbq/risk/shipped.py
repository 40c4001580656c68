"""The models and keys that ship inside the package."""

import importlib.resources
import json
from importlib.resources.abc import Traversable

from schemas.model import TrustedKey

DEFAULT_MODEL = "lin2025-vbq-t"
SIGNATURE_SUFFIX = ".sig.json"
KEYS_FILE = "trusted-keys.json"


def shipped_models() -> dict[str, tuple[bytes, bytes]]:
    """Model file and signature file of each id, neither parsed nor verified."""
    folder = _folder()
    found = {}
    for entry in folder.iterdir():
        model_id = entry.name.removesuffix(SIGNATURE_SUFFIX)
        if model_id != entry.name:
            found[model_id] = (folder.joinpath(f"{model_id}.json").read_bytes(), entry.read_bytes())
    return found


def shipped_keys() -> list[TrustedKey]:
    """The keys that signed them."""
    rows = json.loads(_folder().joinpath(KEYS_FILE).read_text(encoding="utf-8"))
    return [TrustedKey.model_validate(row) for row in rows]


def _folder() -> Traversable:
    return importlib.resources.files("vbq.risk.models")
