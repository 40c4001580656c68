"""`vbq model sign|list|show`, and the command that makes the shipped model again."""

import json
import stat

import pytest
import yaml
from click.testing import CliRunner

from commands.model_registry import list_, show_, sign_
from commands.published_model import published_model
from schemas.errors import ModelRefused, NotConfigured
from vbq.risk.published import build


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("VBQ_CONFIG", raising=False)
    return tmp_path


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


def test_the_list_names_the_active_model_and_its_digest(folder) -> None:
    (row,) = json.loads(run(list_, "--json").stdout)
    assert (row["id"], row["stage"], len(row["digest"])) == ("lin2025-vbq-t", "active", 64)
    assert "lin2025-vbq-t" in run(list_).stdout


def test_show_prints_every_source_attribute_and_the_artefact_as_json(folder) -> None:
    text = run(show_, "lin2025-vbq-t").stdout
    assert "9.ii" in text
    assert "not available" in text
    assert json.loads(run(show_, "lin2025-vbq-t", "--json").stdout)["covariates"][0]["name"] == "vbq"
    assert isinstance(run(show_, "no-such-model").exception, ModelRefused)


def test_a_model_is_signed_trusted_and_served(folder, monkeypatch) -> None:
    models = folder / "models"
    models.mkdir()
    file, key = models / "our-own.json", folder / "key.pem"
    file.write_text(build().but(id="our-own").model_dump_json(indent=2))
    signed = run(sign_, file, "--key", key, "--new-key", "--json")
    assert signed.exit_code == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    refused = run(list_, "--json")
    assert [row["id"] for row in json.loads(refused.stdout)] == ["lin2025-vbq-t"]
    assert "not trusted" in refused.stderr
    config = folder / "vbq.yaml"
    config.write_text(
        yaml.safe_dump({"model_keys": [{"name": "own", "ed25519": json.loads(signed.stdout)["ed25519"]}]})
    )
    monkeypatch.setenv("VBQ_CONFIG", str(config))
    (models / "active").write_text("our-own")
    stages = {row["id"]: row["stage"] for row in json.loads(run(list_, "--json").stdout)}
    assert stages == {"lin2025-vbq-t": "candidate", "our-own": "active"}
    assert run(sign_, file, "--key", key).exit_code == 0, "signing again with the same key"


def test_an_active_model_that_is_not_there_is_said_and_fails(folder) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "active").write_text("gone")
    found = run(list_, "--json")
    assert found.exit_code == 1
    assert "gone" in found.stderr


def test_a_key_is_never_overwritten_and_must_be_one(folder) -> None:
    file, key = folder / "m.json", folder / "key.pem"
    file.write_text(build().model_dump_json())
    key.write_text("not a key")
    for more in (["--new-key"], []):
        assert isinstance(run(sign_, file, "--key", key, *more).exception, NotConfigured)
    assert isinstance(run(sign_, file, "--key", folder / "absent.pem").exception, NotConfigured)
    assert key.read_text() == "not a key"


def test_the_shipped_model_can_be_made_again() -> None:
    found = run(published_model)
    assert found.exit_code == 0, found.output
    assert "exactly this" in found.output
