"""Model files of a site: what is served, what is refused, in which words."""

from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateways.models import Models
from gateways.settings import Settings
from schemas.errors import ModelRefused
from vbq.risk.artefact import canonical
from vbq.risk.published import build
from vbq.risk.shipped import DEFAULT_MODEL, shipped_models
from vbq.risk.signature import public_text, sign


class Site:
    """A data directory with a key that its configuration trusts."""

    def __init__(self, folder: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        config = folder / "vbq.yaml"
        key = {"name": "site", "ed25519": public_text(self.key.public_key())}
        config.write_text(yaml.safe_dump({"model_keys": [key]}))
        self.settings = Settings(data_dir=folder, config=config)
        self.models = folder / "models"
        self.models.mkdir()

    def put(self, model, *, name=None, key=None) -> Path:
        name = name or model.id
        content = canonical(model)
        path = self.models / f"{name}.json"
        path.write_bytes(content)
        signature = sign(content, key or self.key).model_dump_json()
        (self.models / f"{name}.sig.json").write_text(signature)
        return path


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


def test_without_a_choice_the_shipped_model_is_served(tmp_path) -> None:
    loaded = Models(Settings(data_dir=tmp_path)).active()
    assert loaded.artefact.id == DEFAULT_MODEL


def test_a_signed_model_of_the_site_is_served_once_it_is_named(site) -> None:
    site.put(build().but(id="our-own"))
    models = Models(site.settings)
    assert models.active().artefact.id == DEFAULT_MODEL
    (site.models / "active").write_text("our-own\n")
    assert models.active().artefact.id == "our-own"
    assert [row.artefact.id for row in models.all()[0]] == [DEFAULT_MODEL, "our-own"]


def test_a_model_file_with_one_byte_changed_is_refused_and_the_others_still_open(site) -> None:
    path = site.put(build().but(id="our-own"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelRefused, match="changed after it was signed"):
        Models(site.settings).get("our-own")
    opened, refused = Models(site.settings).all()
    assert [row.artefact.id for row in opened] == [DEFAULT_MODEL]
    assert [row.id for row in refused] == ["our-own"]


def test_a_tampered_copy_of_the_shipped_model_is_refused_not_passed_over(site) -> None:
    content, signature = shipped_models()[DEFAULT_MODEL]
    (site.models / f"{DEFAULT_MODEL}.json").write_bytes(content.replace(b"0.6259", b"0.1259"))
    (site.models / f"{DEFAULT_MODEL}.sig.json").write_bytes(signature)
    with pytest.raises(ModelRefused):
        Models(site.settings).active()


def test_unsigned_foreign_and_misnamed_models_are_refused(site) -> None:
    site.put(build().but(id="unsigned"))
    (site.models / "unsigned.sig.json").unlink()
    site.put(build().but(id="foreign"), key=Ed25519PrivateKey.generate())
    site.put(build().but(id="right-name"), name="wrong-name")
    models = Models(site.settings)
    for name, words in (("unsigned", "not signed"), ("foreign", "not trusted"), ("wrong-name", "rename")):
        with pytest.raises(ModelRefused, match=words):
            models.get(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A", ".hidden", "x" * 65, "a/b", "a\x00b"])
def test_a_model_id_is_never_a_path(site, name) -> None:
    with pytest.raises(ModelRefused):
        Models(site.settings).get(name)
    (site.models / "active").write_text(name)
    with pytest.raises(ModelRefused):
        Models(site.settings).active()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servable": False, "servable_reason": "visit times"}, "visit times"),
        ({"thresholds": None}, "thresholds"),
        ({"covariates": [row.but(name=f"strange-{row.name}") for row in build().covariates]}, "does not read"),
    ],
    ids=["not servable", "no thresholds", "strange covariate"],
)
def test_a_trusted_model_that_cannot_be_served_is_not_activated(site, changes, words) -> None:
    site.put(build().but(id="our-own", **changes))
    (site.models / "active").write_text("our-own")
    with pytest.raises(ModelRefused, match=words):
        Models(site.settings).active()
    assert Models(site.settings).get("our-own").artefact.id == "our-own"
