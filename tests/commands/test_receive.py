"""`vbq receive` as a program: it listens, makes events, says what waits, and ends when it is told to."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from sqlalchemy import select

from commands.receive import sole
from gateways.settings import Settings
from gateways.store.database import Database
from gateways.store.tables import inbox, measurements
from schemas.errors import Forbidden, NotConfigured
from tests.conftest import ROOT, Stack, wait_until
from tests.dicom_writer import StudyWriter
from tests.gateways.pacs.test_dimse import free_port
from tests.gateways.pacs.test_receive import send


def environment(place: Path, receive: dict[str, Any]) -> dict[str, str]:
    config = place / "config.yaml"
    config.write_text(yaml.safe_dump({"senders": [{"name": "ehr", "bearer_sha256": "0" * 64}], "receive": receive}))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    return {**clean, "VBQ_DATA_DIR": str(place / "data"), "VBQ_CONFIG": str(config)}


def run(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commands", "receive", *options]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_studies_are_taken_announced_and_listed(tmp_path: Path) -> None:
    port = free_port()
    receive = {
        "port": port,
        "quiet_seconds": 0.5,
        "peers": [{"ae_title": "SCANNER", "addresses": ["127.0.0.1"]}],
        "patients": [{"sender": "ehr", "issuer": "HOSPITAL"}],
    }
    env = environment(tmp_path, receive)
    database = Database(f"sqlite:///{tmp_path / 'data' / 'vbq.sqlite3'}")
    (tmp_path / "data").mkdir()
    database.migrate()
    writer = StudyWriter(tmp_path / "study")
    known = [dcmread(path) for path in writer.series(IssuerOfPatientID="HOSPITAL")]
    unknown = [dcmread(path) for path in writer.series("u", StudyInstanceUID="2.25.10", SeriesInstanceUID="2.25.10.1")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "commands", "receive"], env=env, cwd=ROOT, stderr=log)
    try:
        wait_until(lambda: "listens on" in (tmp_path / "log").read_text(), 60, "listening")
        assert send(port, known) == [0] * 9
        assert send(port, unknown) == [0] * 9

        def events() -> list[tuple[str, bytes]]:
            with database.read() as connection:
                return [(row.patient, row.body) for row in connection.execute(select(inbox))]

        ((patient, body),) = wait_until(events, 30, "the event")
        assert patient == "Patient/SYNTH-0007"
        study = json.loads(body)
        assert Path(study["contained"][0]["address"].removeprefix("file://")).is_dir()
        wait_until(lambda: "issuer-unknown" in run(env, "--list").stdout, 30, "the other study waiting")
        rows = json.loads(run(env, "--list", "--json").stdout)
        assert sorted((row["status"], row["code"], row["instances"]) for row in rows) == [
            ("announced", "", 9),
            ("waiting", "issuer-unknown", 9),
        ]
        second = run(env)
        assert second.returncode == 1
        assert "another `vbq receive`" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        database.close()
    said = (tmp_path / "log").read_text() + json.dumps(rows)
    assert "SYNTH" not in said
    assert "2.25" not in said


@pytest.mark.parametrize(
    ("receive", "words"),
    [
        ({"peers": []}, "receive.peers"),
        ({"peers": [{"ae_title": "X" * 17, "addresses": ["10.0.0.1"]}]}, "ae_title"),
        ({"peers": [{"ae_title": "A\\B", "addresses": ["10.0.0.1"]}]}, "ae_title"),
        ({"peers": [{"ae_title": "X", "addresses": ["pacs.example"]}]}, "addresses"),
    ],
)
def test_a_wrong_configuration_is_said(tmp_path: Path, receive: dict[str, Any], words: str) -> None:
    place = Path(environment(tmp_path, receive)["VBQ_CONFIG"])
    with pytest.raises(NotConfigured, match=words):
        Settings(config=place, data_dir=tmp_path).structured()


def test_without_its_configuration_it_says_so(tmp_path: Path) -> None:
    env = environment(tmp_path, {})
    (tmp_path / "config.yaml").write_text("senders: []\n")
    done = run(env)
    assert done.returncode == 1
    assert "receive is not in VBQ_CONFIG" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_successor_waits_for_its_predecessor(tmp_path: Path) -> None:
    stop = threading.Event()
    with sole(tmp_path, 0.0, stop):
        with pytest.raises(Forbidden, match="another `vbq receive`"), sole(tmp_path, 0.3, stop):
            pass
        threading.Timer(0.2, stop.set).start()
        begun = time.monotonic()
        with pytest.raises(Forbidden), sole(tmp_path, 60.0, stop):  # Ctrl-C ends the waiting
            pass
        assert time.monotonic() - begun < 30
    with sole(tmp_path, 0.0, threading.Event()):
        pass


@pytest.mark.stack
def test_a_study_that_was_sent_is_measured_and_assessed(own_stack: Stack, small_study: Path, tmp_path: Path) -> None:
    files = [dcmread(path) for path in sorted(small_study.rglob("*.dcm"))]
    patient_id = str(files[0].PatientID)
    token = "made-up-token"
    port = free_port()
    config = {
        "senders": [{"name": "ehr", "bearer_sha256": hashlib.sha256(token.encode()).hexdigest()}],
        "receive": {
            "port": port,
            "quiet_seconds": 0.5,
            "peers": [{"ae_title": "SCANNER", "addresses": ["127.0.0.1"]}],
            "patients": [{"sender": "ehr", "issuer": str(files[0].get("IssuerOfPatientID") or "")}],
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    own_stack.environment["VBQ_CONFIG"] = str(tmp_path / "config.yaml")
    own_stack.start()
    login = {"Authorization": f"Bearer {token}"}
    assert set(send(port, files) or []) == {0}  # `vbq up` started the receiver, and waited for it
    person = {"resourceType": "Patient", "id": patient_id, "gender": "female", "birthDate": "1959-12-04"}
    assert own_stack.call("POST", "/events", {**person, "identifier": [{"value": patient_id}]}, login)[0] == 202
    path = f"/fhir/RiskAssessment?patient=Patient/{patient_id}"

    def assessed() -> Any:
        _, found = own_stack.call("GET", path, headers=login)
        return isinstance(found, dict) and found.get("entry")

    (entry,) = wait_until(assessed, 90, "the assessment")
    assert entry["resource"]["subject"]["reference"] == f"Patient/{patient_id}"
    database = Database(f"sqlite:///{own_stack.data_dir / 'vbq.sqlite3'}")
    try:
        with database.read() as connection:
            (kept,) = connection.execute(select(measurements)).all()
    finally:
        database.close()
    found = json.loads(kept.body)
    assert (kept.patient, found["study_uid"]) == (f"Patient/{patient_id}", str(files[0].StudyInstanceUID))
    assert found["vbq"] == pytest.approx(4.1, rel=0.1)  # the phantom's own is 4.1
