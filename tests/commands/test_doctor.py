"""vbq doctor says what is wrong and what to do next, and its exit status is the verdict."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from commands.doctor import doctor
from gateways.settings import Settings, load_settings
from gateways.stand_ins import Credentials
from gateways.store.database import Database
from tests.registries import Registrar, SiteKeys, own_model


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"VBQ_{name.upper()}", raising=False)
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path / "data"))


def examine() -> tuple[int, dict[str, dict[str, Any]]]:
    done = CliRunner().invoke(doctor, ["--json"], standalone_mode=False)
    report = json.loads(done.stdout)
    status = int(done.return_value)
    assert (status == 0) is report["ok"]
    return status, {row["name"]: row for row in report["checks"]}


def test_a_configured_embedded_stack_is_well_before_its_first_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = Credentials("https://ehr.example").write_config(
        tmp_path / "config", fhir_base="https://ehr.example/fhir", study_roots=[tmp_path]
    )
    monkeypatch.setenv("VBQ_CONFIG", str(config))
    status, checks = examine()
    assert status == 0
    assert "lin2025-vbq-t 1.0.0" in checks["model"]["detail"]
    assert "1 key(s), ES384" in checks["CDS client demo-ehr"]["detail"]
    assert "vbq up" in checks["broker"]["detail"]


def test_a_service_that_lets_nobody_in_is_not_well() -> None:
    status, checks = examine()
    assert status == 1
    assert "401" in checks["senders"]["detail"]
    assert not checks["CDS clients"]["ok"]


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("VBQ_PORT", "eighty", "configuration"),
        ("VBQ_CONFIG", "/nowhere/vbq.yaml", "configuration"),
        ("VBQ_DATABASE_URL", "postgresql://nobody:made-up-secret@127.0.0.1:1/none", "database"),
        ("VBQ_REDIS_URL", "redis://127.0.0.1:1/0", "broker"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str
) -> None:
    monkeypatch.setenv("VBQ_DEV_OPEN", "1")
    monkeypatch.setenv(variable, value)
    status, checks = examine()
    assert status == 1
    assert not checks[check]["ok"]
    assert variable in checks[check]["detail"]
    assert "made-up-secret" not in json.dumps(checks)


def test_a_deployed_model_whose_key_is_no_longer_trusted_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = SiteKeys(tmp_path)
    monkeypatch.setenv("VBQ_DEV_OPEN", "1")
    monkeypatch.setenv("VBQ_CONFIG", str(keys.config))
    database = Database(load_settings().database)
    database.migrate()
    registrar = Registrar(keys, database)
    registrar.add(own_model())
    registrar.record("deploy", "our-own")
    database.close()
    status, checks = examine()
    assert (status, checks["model"]["ok"]) == (0, True)
    assert "our-own" in checks["model"]["detail"]
    keys.trust({"deployer": (keys.deployer, ["deploy"])})
    status, checks = examine()
    assert (status, checks["model"]["ok"]) == (1, False)
    assert "not trusted" in checks["model"]["detail"]


def test_an_ehr_that_is_away_does_not_stop_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DEV_OPEN", "1")
    monkeypatch.setenv("VBQ_EHR_BASE_URL", "http://127.0.0.1:1/fhir")
    status, checks = examine()
    assert status == 0
    assert not checks["EHR"]["ok"]
    assert not checks["EHR"]["needed"]


def test_authentication_cannot_be_off_where_others_can_reach_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DEV_OPEN", "1")
    monkeypatch.setenv("VBQ_HOST", "0.0.0.0")
    status, checks = examine()
    assert status == 1
    assert "VBQ_DEV_OPEN" in checks["configuration"]["detail"]
