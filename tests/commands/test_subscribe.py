"""`vbq subscribe` and `vbq subscriptions`: usage, secrets, what is printed. Against a real server: tests/workers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands.subscribe import subscribe, subscriptions
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import EhrUnavailable, NotConfigured
from tests.services.fhir_server import FhirServer, fhir_server

HERE = "https://vbq.example/events"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "VBQ_DATA_DIR": tmp_path,
        "VBQ_PUBLIC_URL": "https://vbq.example",
        "TOKEN": "t0ken-canary",
    }.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as here:
        yield here


def run(*arguments: str) -> Result:
    return CliRunner().invoke(subscribe, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--fhir"),
        (["--fhir", "ehr.example/fhir"], "http(s)"),
        (["--fhir", "ftp://ehr.example/fhir"], "http(s)"),
        (["--fhir", "https://ehr.example/fhir", "--endpoint", "nowhere"], "--endpoint"),
        (["--fhir", "https://ehr.example/fhir", "--kind", "backport"], "--topic"),
        (["--fhir", "https://ehr.example/fhir", "--topic", "http://t"], "backport"),
        (["--fhir", "https://ehr.example/fhir", "--type", "Grommet"], "Grommet"),
        (["--fhir", "https://ehr.example/fhir", "--endpoint", "http://127.0.0.1:8080/events"], "loopback"),
    ],
)
def test_wrong_usage_is_said_in_words(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_a_variable_that_holds_no_secret_is_named(server: FhirServer) -> None:
    done = run("--fhir", server.base, "--token-env", "NOT_SET_ANYWHERE")
    assert isinstance(done.exception, NotConfigured)
    assert "NOT_SET_ANYWHERE" in done.exception.detail
    assert server.asked == []


def test_a_server_that_is_away_is_said_so() -> None:
    assert isinstance(run("--fhir", "http://127.0.0.1:9/fhir").exception, EhrUnavailable)


def test_a_dry_run_prints_what_would_be_done_without_secrets_and_changes_nothing(server: FhirServer) -> None:
    sends = {"type": "rest-hook", "endpoint": HERE, "header": ["Authorization: Bearer old-canary"]}
    stopped: dict[str, Any] = {"resourceType": "Subscription", "id": "s1", "status": "error", "criteria": "Patient"}
    stopped["channel"] = sends
    stale = {**stopped, "id": "s2", "criteria": "Patient?"}
    other = {**stopped, "id": "s3", "channel": {"type": "rest-hook", "endpoint": "https://other.example"}}
    server.bundle("Subscription?", stopped, stale, other)
    done = run("--fhir", server.base, "--token-env", "TOKEN", "--hmac-secret-env", "TOKEN", "--dry-run")
    assert done.exit_code == 0, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    assert (printed["endpoint"], printed["dry_run"]) == (HERE, True)
    steps = [(row["step"], row["subscription"]["criteria"]) for row in printed["subscriptions"]]
    assert steps == [
        *[("create", f"{kind}?") for kind in ("ImagingStudy", "Observation", "Condition", "Endpoint")],
        ("update", "Patient?"),
        ("remove", "Patient?"),
    ]
    assert "canary" not in done.output
    assert all(path.startswith("Subscription?") for path, _ in server.asked)


def test_without_subscriptions_the_list_is_empty() -> None:
    database = Database(Settings().database)
    database.migrate()
    database.close()
    assert json.loads(CliRunner().invoke(subscriptions, ["--json"]).stdout) == []
