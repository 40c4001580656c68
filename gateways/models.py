"""Model files: the shipped ones and those of this site below data_dir/models, verified each time they are opened.

data_dir/models/<id>.json       canonical JSON of a schemas.model.ModelArtefact
data_dir/models/<id>.sig.json   its detached signature by a trusted key (model_keys of VBQ_CONFIG, or shipped)
data_dir/models/active          the id of the model that is served; absent: the shipped default
"""

import re
from pathlib import Path
from typing import NamedTuple, get_args

from gateways.settings import Settings
from schemas.clinical import InputName
from schemas.errors import ModelRefused
from schemas.model import TrustedKey
from vbq.risk.score import refuse_unusable
from vbq.risk.shipped import DEFAULT_MODEL, SIGNATURE_SUFFIX, shipped_keys, shipped_models
from vbq.risk.signature import LoadedModel, open_model

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")


class Refused(NamedTuple):
    """A model file that does not count, and why."""

    id: str
    detail: str


class Models:
    """The models that this process may serve."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data_dir / "models"

    def active(self) -> LoadedModel:
        """The served model. Raises ModelRefused where it cannot be trusted or must not be served."""
        model = self.get(self.active_id())
        artefact = model.artefact
        refuse_unusable(artefact, None)
        unknown = [row.name for row in artefact.covariates if row.name not in get_args(InputName)]
        if unknown:
            raise ModelRefused(
                f"model {artefact.id} asks for {', '.join(unknown)}, which this software does not read from a record; "
                "activate another model",
                code="model-not-servable",
            )
        if artefact.thresholds is None:
            raise ModelRefused(
                f"model {artefact.id} names no thresholds for low, moderate, high; add `thresholds` and sign it again",
                code="model-not-servable",
            )
        return model

    def active_id(self) -> str:
        """The id in data_dir/models/active, else the shipped default."""
        try:
            name = (self._folder / "active").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return DEFAULT_MODEL
        except (OSError, UnicodeDecodeError) as error:
            raise ModelRefused("models/active below VBQ_DATA_DIR cannot be read; write one model id into it") from error
        return name

    def get(self, model_id: str) -> LoadedModel:
        """The model called `model_id`; a site's own file goes before a shipped one of the same id.

        Raises ModelRefused: no such model, not signed, changed since, signed by an unknown key, or not a model.
        """
        if not _ID.fullmatch(model_id):
            raise ModelRefused(
                "a model id has 2 to 64 of a-z 0-9 . _ - and begins with a letter or digit", code="model-unknown"
            )
        content, signature = self._files(model_id)
        model = open_model(content, signature, self._trusted())
        if model.artefact.id != model_id:
            raise ModelRefused(f"the file of model {model_id} holds model {model.artefact.id}; rename the file")
        return model

    def all(self) -> tuple[list[LoadedModel], list[Refused]]:
        """Every model that can be opened, by id, and every file that cannot, with the reason."""
        opened, refused = [], []
        for model_id in sorted({*shipped_models(), *self._site_ids()}):
            try:
                opened.append(self.get(model_id))
            except ModelRefused as error:
                refused.append(Refused(model_id, error.detail))
        return opened, refused

    def _files(self, model_id: str) -> tuple[bytes, bytes]:
        if model_id in self._site_ids():
            content = _read(self._folder / f"{model_id}.json")
            if not (self._folder / f"{model_id}{SIGNATURE_SUFFIX}").is_file():
                raise ModelRefused(
                    f"model {model_id} is not signed; sign it with `vbq model sign`", code="model-signature"
                )
            return content, _read(self._folder / f"{model_id}{SIGNATURE_SUFFIX}")
        shipped = shipped_models()
        if model_id not in shipped:
            raise ModelRefused(
                f"there is no model {model_id}; `vbq model list` shows those there are", code="model-unknown"
            )
        return shipped[model_id]

    def _site_ids(self) -> set[str]:
        if not self._folder.is_dir():
            return set()
        files = {path.name for path in self._folder.glob("*.json")}
        return {name.removesuffix(".json") for name in files if not name.endswith(SIGNATURE_SUFFIX)}

    def _trusted(self) -> list[TrustedKey]:
        return [*shipped_keys(), *self._settings.structured().model_keys]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path.name} below VBQ_DATA_DIR/models cannot be read: {error.strerror}") from error
