"""`vbq cards`: the dry run and the report, as an operator calls them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from commands.cards import report, schema, summarised
from gateways.records.feedback import CardFeedback, Counted, Feedback
from gateways.records.results import Results
from gateways.store.database import Database
from schemas.fhir.results import resources_of
from services.card_ids import card_id, card_of, clinician_tag
from tests import assessments as made
from tests.databases import with_tables
from tests.gateways.test_card_policy import changed

PATIENT = "Patient/p1"
USER = "Practitioner/preview"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with one stored assessment."""
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    for name in ("VBQ_CONFIG", "VBQ_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    database = with_tables(f"sqlite:///{tmp_path / 'vbq.sqlite3'}")
    assessment = made.assessment()
    with database.write() as connection:
        Results(database).store(connection, assessment, resources_of(assessment))
    database.close()
    return tmp_path


@pytest.fixture
def preview(home: Path) -> Callable[..., dict[str, Any]]:
    """Runs `vbq cards preview --json`."""

    def run(*options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "commands", "cards", "preview", "--patient", PATIENT, "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


def overridden(home: Path) -> None:
    """The previewing clinician overrides the chart's card."""
    database = Database(f"sqlite:///{home / 'vbq.sqlite3'}")
    card = card_id(made.OLD_ID, "patient-view", "chart", clinician_tag(PATIENT, USER))
    about = card_of(card)
    assert about is not None
    entry = CardFeedback(card, "overridden", "2026-11-22T10:00:00Z", b"{}", "doubtful", about.prefix, about.clinician)
    Feedback(database).store("vertebral-fracture-risk-view", "ehr", [entry._replace(phase="chart")])
    database.close()


def test_a_preview_shows_the_cards_of_the_chart_and_of_an_order(preview: Callable[..., dict[str, Any]]) -> None:
    chart = preview()
    assert chart["trigger"] == "chart"
    assert "29.9 %" in chart["cards"][0]["summary"]
    order = preview("--order", "Spinal fusion L4/5", "--language", "de")
    assert order["trigger"] == "fusion"
    assert order["cards"][0]["summary"].startswith("Vor Spondylodese")


def test_a_preview_tries_another_policy_and_says_when_a_clinician_silenced_the_card(
    preview: Callable[..., dict[str, Any]], home: Path
) -> None:
    strict = changed(home, lambda row: row["show"]["chart"].update(risk_from="high"))
    assert preview("--policy", str(strict))["cards"] == []
    overridden(home)
    assert preview()["silenced"] is True
    assert preview("--user", "Practitioner/other")["silenced"] is False


def test_a_wrong_policy_is_refused_with_its_place(home: Path) -> None:
    wrong = home / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"schema_version": 1}))
    command = [sys.executable, "-m", "commands", "cards", "preview", "--patient", PATIENT, "--policy", str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "quiet_days" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_gives_rates_by_model_and_reason(home: Path) -> None:
    overridden(home)
    done = CliRunner().invoke(report, ["--json"])
    [row] = json.loads(done.stdout)["rows"]
    assert row == {
        "service": "vertebral-fracture-risk-view",
        "model": "lin2025-vbq-t 1.0.0",
        "cards": 1,
        "accepted": 0,
        "overridden": 1,
        "accepted_rate": 0.0,
        "overridden_rate": 1.0,
        "reasons": {"doubtful": 1},
    }
    assert "lin2025-vbq-t" in CliRunner().invoke(report).stdout
    assert json.loads(CliRunner().invoke(report, ["--days", "0", "--json"]).stdout)["rows"] == []


def test_rates_are_of_the_cards_that_were_told_of() -> None:
    rows = summarised(
        [
            Counted("s", "m 1", None, "accepted", 3),
            Counted("s", "m 1", "doubtful", "overridden", 1),
            Counted("s", "m 2", None, "overridden", 2),
        ]
    )
    assert [(row["accepted_rate"], row["overridden_rate"]) for row in rows] == [(0.75, 0.25), (0.0, 1.0)]


def test_the_schema_is_printed() -> None:
    assert "quiet_days" in json.loads(CliRunner().invoke(schema).stdout)["properties"]
