"""`vbq model sign | add | deploy | ... | list | show | log`, and the command that makes the shipped model again."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from commands.model_deploy import add_, deploy_, revoke_, rollback_, shadow_
from commands.model_registry import list_, log_, show_
from commands.model_sign import key_, sign_
from commands.published_model import published_model
from commands.score import score
from schemas.errors import Forbidden, ModelRefused, NotConfigured
from tests.registries import own_model, stronger
from vbq.risk.published import build

VALUES = ("--vbq", "4.26", "--t-score", "-2.48", "--json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("VBQ_CONFIG", raising=False)
    return tmp_path


def run(command: Any, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


def document(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


@pytest.fixture
def keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A signer's and a deployer's key, both trusted."""
    files = {name: folder / f"{name}.pem" for name in ("sign", "deploy")}
    rows = [
        {"name": f"{name}er", "ed25519": document(run(key_, path, "--json"))["ed25519"], "roles": [name]}
        for name, path in files.items()
    ]
    config = folder / "vbq.yaml"
    config.write_text(yaml.safe_dump({"model_keys": rows}))
    monkeypatch.setenv("VBQ_CONFIG", str(config))
    return files


def put(folder: Path, keys: dict[str, Path], version: str, factor: float) -> None:
    file = folder / f"own-{version}.json"
    file.write_text(stronger(own_model(version), factor).model_dump_json(indent=2))
    assert run(sign_, file, "--key", keys["sign"]).exit_code == 0
    assert run(add_, file).exit_code == 0


def test_the_list_names_the_active_model_and_its_digest(folder: Path) -> None:
    (row,) = document(run(list_, "--json"))
    assert (row["id"], row["stage"], len(row["digest"])) == ("lin2025-vbq-t", "active", 64)
    assert "lin2025-vbq-t" in run(list_).stdout
    assert not (folder / "data").exists(), "looking makes nothing"


def test_show_prints_every_source_attribute_and_the_artefact_as_json(folder: Path) -> None:
    text = run(show_, "lin2025-vbq-t").stdout
    assert "9.ii" in text
    assert "not available" in text
    assert document(run(show_, "lin2025-vbq-t", "--json"))["covariates"][0]["name"] == "vbq"
    assert isinstance(run(show_, "no-such-model").exception, ModelRefused)


def test_sign_add_deploy_roll_back_revoke(folder: Path, keys: dict[str, Path]) -> None:
    deployer = ("--key", keys["deploy"], "--why", "tried in a test", "--json")
    put(folder, keys, "1.0.0", 2.0)
    assert document(run(score, *VALUES))["risk"] == pytest.approx(0.299, abs=0.001)
    assert document(run(deploy_, "our-own", *deployer))["by"] == "deployer"
    assert document(run(score, *VALUES))["risk"] == pytest.approx(1 - (1 - 0.299) ** 2, abs=0.002)
    put(folder, keys, "1.1.0", 3.0)
    assert document(run(shadow_, "our-own@1.1.0", *deployer))["shadow"]
    found = {(row["id"], row["version"]): row["stage"] for row in document(run(list_, "--json"))}
    assert found == {
        ("lin2025-vbq-t", "1.0.0"): "retired",
        ("our-own", "1.0.0"): "active",
        ("our-own", "1.1.0"): "shadow",
    }
    assert document(run(score, *VALUES))["version"] == "1.0.0"
    assert document(run(shadow_, "--off", *deployer))["shadow"] is None
    document(run(rollback_, *deployer))
    assert document(run(score, *VALUES))["model"] == "lin2025-vbq-t"
    document(run(revoke_, "our-own@1.0.0", *deployer))
    refused = run(score, *VALUES, "--model", "our-own@1.0.0")
    assert isinstance(refused.exception, ModelRefused)
    assert "revoked" in str(refused.exception)
    log = document(run(log_, "--json"))
    assert [row["action"] for row in log["entries"]] == ["deploy", "shadow", "unshadow", "rollback", "revoke"]
    assert log["head"] in run(log_).stdout


def test_a_revoked_active_model_is_said_aloud_and_list_fails(folder: Path, keys: dict[str, Path]) -> None:
    deployer = ("--key", keys["deploy"], "--why", "tried in a test")
    put(folder, keys, "1.0.0", 2.0)
    assert run(deploy_, "our-own", *deployer).exit_code == 0
    revoked = run(revoke_, "our-own", *deployer)
    assert revoked.exit_code == 0
    assert "nothing is scored" in revoked.stderr
    assert isinstance(run(score, *VALUES).exception, ModelRefused)
    listed = run(list_, "--json")
    assert listed.exit_code == 1
    assert "no model is active" in listed.stderr


def test_the_signers_key_may_not_deploy(folder: Path, keys: dict[str, Path]) -> None:
    put(folder, keys, "1.0.0", 2.0)
    refused = run(deploy_, "our-own", "--key", keys["sign"], "--why", "in a hurry")
    assert isinstance(refused.exception, Forbidden)
    assert document(run(score, *VALUES))["model"] == "lin2025-vbq-t"


def test_unsigned_changed_and_foreign_files_are_not_added(folder: Path, keys: dict[str, Path]) -> None:
    file = folder / "own.json"
    file.write_text(own_model().model_dump_json())
    assert "not signed" in str(run(add_, file).exception)
    run(sign_, file, "--key", keys["sign"])
    file.write_bytes(file.read_bytes().replace(b"0.6259", b"0.1259"))
    assert isinstance(run(add_, file).exception, ModelRefused)
    run(sign_, file, "--key", folder / "foreign.pem", "--new-key")
    assert "not trusted" in str(run(add_, file).exception)


def test_a_reason_is_asked_for(folder: Path, keys: dict[str, Path]) -> None:
    assert run(rollback_, "--key", keys["deploy"]).exit_code == 2
    assert run(shadow_, "--key", keys["deploy"], "--why", "x").exit_code == 2


def test_a_key_is_never_overwritten_and_must_be_one(folder: Path) -> None:
    file, key = folder / "m.json", folder / "key.pem"
    file.write_text(build().model_dump_json())
    key.write_text("not a key")
    for more in (["--new-key"], []):
        assert isinstance(run(sign_, file, "--key", key, *more).exception, NotConfigured)
    assert isinstance(run(sign_, file, "--key", folder / "absent.pem").exception, NotConfigured)
    assert key.read_text() == "not a key"
    fresh = folder / "fresh.pem"
    assert run(key_, fresh).exit_code == 0
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600


def test_the_shipped_model_can_be_made_again() -> None:
    found = run(published_model)
    assert found.exit_code == 0, found.output
    assert "exactly this" in found.output
