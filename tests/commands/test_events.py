"""`vbq events`, `vbq audit` and `vbq purge` as an operator types them, against a real database."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from commands.audit import checkpoint, export, verify
from commands.events import dead_, list_, replay_, show_, stats_
from commands.purge import purge
from gateways.audit.log import Audit
from gateways.queue.inbox import Inbox
from gateways.queue.jobs import Jobs
from gateways.store.database import Database
from schemas.errors import NotAcceptable
from schemas.fhir.events import events_of
from schemas.fhir.full import validate
from tests import records
from tests.databases import with_tables

CANARY = "canarypatient"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Three events of one patient: done, dead, pending; and a dead job."""
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    database = with_tables(f"sqlite:///{tmp_path / 'vbq.sqlite3'}")
    inbox = Inbox(database)
    rows = (records.patient(CANARY), records.t_score(CANARY), records.observation("w", CANARY, "1", 60, "kg"))
    for row in rows:
        body = json.dumps(row).encode()
        inbox.accept(events_of(body, source="engine", base=None, several=False).events)
    first, second, _ = inbox.claim()
    jobs = Jobs(database)
    with database.write() as connection:
        inbox.finish(connection, first.claim)
        inbox.bury(connection, second.claim, code="not-fhir", text="Observation.status: Field required")
        jobs.bump(connection, "assess", f"Patient/{CANARY}", f"Patient/{CANARY}")
    job = jobs.claim(1)
    assert job is not None
    with database.write() as connection:
        jobs.bury(connection, job, code="defect", text="a defect")
    inbox.close()
    return database


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def document(command: click.Command, *arguments: str) -> Any:
    done = run(command, *arguments, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), [3, 2, 1]),
        (("--state", "dead"), [2]),
        (("--state", "pending"), []),
        (("--type", "Observation"), [3, 2]),
        (("--source", "nobody"), []),
        (("--code", "not-fhir"), [2]),
        (("--interaction", "delete"), []),
        (("--since", "2020-01-01"), [3, 2, 1]),
        (("--since", "2120-01-01T00:00:00"), []),
        (("--count", "2"), [3, 2]),
        (("--count", "2", "--below", "2"), [1]),
        (("--count", "2", "--offset", "2"), [1]),
    ],
)
def test_events_are_filtered_and_paged(site: Database, arguments: tuple[str, ...], found: list[int]) -> None:
    assert [row["id"] for row in document(list_, *arguments)] == found


def test_ids_of_patients_are_shown_when_asked_for_alone(site: Database) -> None:
    for command in (list_, dead_):
        for arguments in ((), ("--json",)):
            assert CANARY not in run(command, *arguments).output
        assert CANARY in run(command, "--ids").output
    assert "Field required" in run(dead_).output, "the reason is told"


def test_one_event_shows_its_jobs_and_its_body_only_when_asked_which_is_recorded(site: Database) -> None:
    plain = document(show_, "1")
    assert "birthDate" not in json.dumps(plain)
    assert [job["reason_code"] for job in plain["jobs"]] == ["defect"]
    assert list(Audit(site).rows()) == []
    assert '"birthDate": "1959-12-04"' in document(show_, "1", "--body")["body"]
    (row,) = Audit(site).rows()
    assert (row.action, row.entity) == ("event-shown", f"Patient/{CANARY}")
    assert isinstance(run(show_, "99").exception, NotAcceptable)


def test_replay_says_what_it_did_and_doing_it_twice_is_doing_it_once(site: Database) -> None:
    assert document(dead_)["codes"] == {"events": {"not-fhir": 1}, "jobs": {"defect": 1}}
    done = run(replay_, "2", "3", "99", "--job", "1", "--json")
    assert done.return_value == 1, "one of those named is not there"
    assert json.loads(done.stdout) == {
        "replayed": [2],
        "jobs": [1],
        "unknown": [99],
        "left": [{"id": 3, "why": "it is running"}],
    }
    assert document(replay_, "--all-dead") == {"replayed": [], "jobs": [], "unknown": [], "left": []}
    assert document(stats_)["dead"] == 0
    (row,) = Audit(site).rows()
    assert (row.action, row.detail["events"], row.detail["jobs"]) == ("events-replayed", 1, 1)


def test_dead_letters_of_one_reason_are_replayed_alone(site: Database) -> None:
    assert document(replay_, "--all-dead", "--code", "defect") == {
        "replayed": [],
        "jobs": [1],
        "unknown": [],
        "left": [],
    }
    assert document(stats_)["dead"] == 1


@pytest.mark.parametrize("arguments", [(), ("1", "--all-dead"), ("1", "--code", "x"), ("0",), ("one",)])
def test_a_replay_of_nothing_in_particular_is_wrong_usage(site: Database, arguments: tuple[str, ...]) -> None:
    assert isinstance(run(replay_, *arguments).exception, click.UsageError)


def test_the_audit_log_is_checked_handed_out_and_vouched_for(site: Database, tmp_path: Path) -> None:
    run(replay_, "2")
    run(show_, "1", "--body")
    kept = tmp_path / "checkpoint.json"
    assert run(checkpoint, "--out", str(kept)).exception is None
    assert document(verify, "--checkpoint", str(kept))["ok"]
    stated = json.loads(kept.read_text())["checkpoint"]
    head = f"{stated['sequence']}:{stated['hash']}"
    assert document(verify, "--head", head)["ok"]
    assert run(verify, "--head", f"9:{stated['hash']}").return_value == 1
    for wrong in ("", "1", "x:y", f"-1:{stated['hash']}", f"²:{stated['hash']}"):
        assert isinstance(run(verify, "--head", wrong).exception, NotAcceptable)
    lines = run(export).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        validate(json.loads(line))
    bundle = json.loads(run(export, "--bundle", "--since", "2020-01-01").stdout)
    validate(bundle)
    assert [row["resource"]["subtype"][-1]["code"] for row in bundle["entry"]][-1] == "audit-exported"
    assert json.loads(run(export, "--bundle", "--action", "erased").stdout) == {
        "resourceType": "Bundle",
        "type": "collection",
    }
    kept.write_text(kept.read_text().replace('"hash": "', '"hash": "0'))
    done = run(verify, "--checkpoint", str(kept), "--json")
    assert (done.return_value, json.loads(done.stdout)["problems"][0]["code"]) == (1, "checkpoint")
    kept.write_text("{}")
    assert isinstance(run(verify, "--checkpoint", str(kept)).exception, NotAcceptable)


def test_a_patient_is_erased_only_when_it_is_said(site: Database) -> None:
    shown = run(purge, "--patient", CANARY)
    assert "say --yes" in shown.stdout
    assert document(stats_)["accepted"] == 3
    done = document(purge, "--patient", f"Patient/{CANARY}", "--yes")
    assert (done["erased"], done["bytes_gone"], done["patients"]) == (True, True, [f"Patient/{CANARY}"])
    assert any("brings her back" in line for line in done["outside"])
    assert document(stats_)["accepted"] == 0
    again = run(purge, "--patient", CANARY, "--yes", "--json")
    assert (again.return_value, json.loads(again.stdout)["erased"]) == (1, False)


@pytest.mark.parametrize(
    "arguments",
    [(), ("--patient", "p1", "--older-than", "3"), ("--older-than", "3"), ("--older-than", "-1", "--yes")],
)
def test_an_erasure_of_nobody_in_particular_is_wrong_usage(site: Database, arguments: tuple[str, ...]) -> None:
    assert isinstance(run(purge, *arguments).exception, click.UsageError)


@pytest.mark.parametrize(
    "patient", ["Observation/o1", "Patient/p1/_history/2", "Patient/a b", "https://x/Patient", "'; --"]
)
def test_what_names_no_patient_is_refused(site: Database, patient: str) -> None:
    assert isinstance(run(purge, "--patient", patient, "--yes").exception, NotAcceptable)


def test_what_is_older_than_so_many_days_goes(site: Database) -> None:
    done = document(purge, "--older-than", "0", "--yes")
    assert done == {"event_bodies": 1, "assessments": 0, "feedback_bodies": 0, "bytes_gone": True}
    assert run(replay_, "1").return_value == 1
