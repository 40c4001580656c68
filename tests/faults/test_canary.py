"""Canaries in every place where a patient's data can be, through the whole stack and its failures; then look everywhere
that is not for patients' data: logs, metrics, Redis, error bodies, commands' output, command lines, files beside.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml

from gateways.queue.jobs import Jobs
from gateways.queue.redis_server import socket_path
from gateways.store.database import Database
from tests import ehr_server, records
from tests.stack import ROOT, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(280)]

ID = "cnry-id-7431"  # the patient's id at her server
NAME = "Cnryname"
MRN = "CNRY-MRN-5512"
WORDS = "Cnrywords"  # in notes, descriptions, comments, free text
BROKEN = "Cnrybroken"  # in what cannot be read
SECRET = "cnry-secret-token"
BORN = "1959-12-04"
ANYWHERE = (ID, NAME, MRN, WORDS, BROKEN, SECRET, BORN, BORN.replace("-", ""))


def found_in(text: str | bytes) -> list[str]:
    """The canaries in `text`, plain or as base64 hides them, whatever their case."""
    plain = text if isinstance(text, bytes) else text.encode(errors="replace")
    lower = plain.lower()
    hidden = [base64.b64encode(b" " * shift + word.encode())[4:-4] for word in ANYWHERE for shift in range(3)]
    return [word for word in ANYWHERE if word.lower().encode() in lower] + [
        str(piece) for piece in hidden if len(piece) > 8 and piece in plain
    ]


class Monitor(threading.Thread):
    """Everything that anybody says to Redis."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.said = b""
        self._path = path
        self._ended = threading.Event()

    def run(self) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._path))
            line.settimeout(0.2)
            line.sendall(b"MONITOR\r\n")
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    heard = line.recv(65536)
                    if not heard:
                        return
                    self.said += heard

    def stop(self) -> list[str]:
        """What was said, and every key with its value as it stands now."""
        import redis

        self._ended.set()
        self.join(5)
        left = []
        client: Any = redis.Redis(unix_socket_path=str(self._path))
        for key in client.keys("*"):
            kind = client.type(key)
            left.append(repr(key))
            match kind:
                case b"string":
                    left.append(repr(client.get(key)))
                case b"list":
                    left.append(repr(client.lrange(key, 0, -1)))
                case b"hash":
                    left.append(repr(client.hgetall(key)))
                case b"set":
                    left.append(repr(client.smembers(key)))
                case b"zset":
                    left.append(repr(client.zrange(key, 0, -1)))
        client.close()
        return [self.said.decode(errors="replace"), *left]


def study_with_canaries(small_study: Path, place: Path) -> Path:
    """The small study as it would come from a scanner: her name, number, comments; a damaged file beside it."""
    made = place / f"{NAME}_{MRN}"
    made.mkdir(parents=True)
    for path in sorted(small_study.rglob("*")):
        if path.suffix != ".dcm":
            if path.is_file():
                (made / path.name).write_bytes(path.read_bytes())
            continue
        image = pydicom.dcmread(path)
        image.PatientName, image.PatientID = f"{NAME}^Ada", MRN
        image.PatientComments = image.ImageComments = image.StudyDescription = WORDS
        image.ReferringPhysicianName = f"{NAME}^Doctor"
        image.save_as(made / path.name)
    (made / f"{NAME}.dcm").write_bytes(b"\0" * 128 + b"DICM" + WORDS.encode() * 50)
    return made


def person(patient_id: str = ID, **changes: Any) -> dict[str, Any]:
    told = {
        "name": [{"family": NAME, "given": [WORDS], "text": f"{NAME} {WORDS}"}],
        "identifier": [{"system": "urn:mrn", "value": MRN}],
        "telecom": [{"system": "email", "value": f"{WORDS}@{NAME}.example"}],
        "address": [{"line": [WORDS], "city": WORDS}],
        "contact": [{"name": {"family": NAME}}],
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{NAME}</div>'},
    }
    return records.patient(patient_id, **{**told, **changes})


def broken_calls() -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Requests that must be refused, each with canaries where they do not belong."""
    json_kind = {"Content-Type": "application/fhir+json"}
    bad_value = records.t_score(ID, valueQuantity={"value": BROKEN, "unit": BROKEN, BROKEN: 1})
    bad_status = records.t_score(ID, status=BROKEN, subject={"reference": f"Patient/{BROKEN}/{NAME}"})
    hook = {"hook": "patient-view", "hookInstance": BROKEN, "context": {"patientId": ID, "userId": WORDS}}
    return [
        ("POST", "/events", f'{{"resourceType": "Patient", "id": "{BROKEN}", "name": {NAME}'.encode(), json_kind),
        ("POST", "/events", json.dumps({"resourceType": BROKEN, "id": ID}).encode(), json_kind),
        ("POST", "/events", json.dumps(bad_value).encode(), json_kind),
        ("POST", "/events", json.dumps(bad_status).encode(), json_kind),
        ("POST", "/events", f'{{"{NAME}": 1, "{NAME}": 2}}'.encode(), json_kind),
        ("POST", "/events", b'{"a":' * 200 + BROKEN.encode(), json_kind),
        ("POST", "/events", BROKEN.encode("utf-16"), json_kind),
        ("POST", f"/events/{BROKEN}", b"{}", json_kind),
        ("PUT", f"/events/Patient/{NAME}%20{BROKEN}", json.dumps(person()).encode(), json_kind),
        ("PUT", f"/events/Patient/{MRN}?name={NAME}", json.dumps(person("other")).encode(), json_kind),
        ("DELETE", f"/events/{NAME}/{ID}", b"", {}),
        ("POST", "/events", NAME.encode(), {"Content-Type": f"text/{WORDS}"}),
        ("PATCH", f"/events/Patient/{ID}", NAME.encode(), json_kind),
        ("POST", f"/cds-services/{NAME}", json.dumps(hook).encode(), {"Content-Type": "application/json"}),
        ("POST", "/cds-services/vertebral-fracture-risk-view", json.dumps(hook).encode(), json_kind),
        ("POST", "/cds-services/vertebral-fracture-risk-view", f'{{"x": {NAME}'.encode(), json_kind),
        ("GET", f"/fhir/RiskAssessment/{NAME}", b"", {}),
        ("GET", f"/fhir/RiskAssessment?{NAME}={MRN}", b"", {}),
        ("GET", f"/fhir/RiskAssessment?patient={NAME}%20{MRN}", b"", {}),
        ("GET", f"/fhir/{NAME}/{ID}", b"", {}),
        ("GET", f"/review/{NAME}", b"", {}),
        ("GET", f"/launch?iss=https://{NAME}.example/{MRN}&launch={WORDS}", b"", {}),
        ("GET", f"/callback?code={SECRET}&state={NAME}", b"", {}),
        ("GET", f"/models/{NAME}", b"", {}),
        ("GET", f"/{NAME}/{MRN}", b"", {"Cookie": f"session={SECRET}", "Referer": f"http://x/{ID}"}),
    ]


def send(stack: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """One call as it is written; status, and everything that came back."""
    secret = {"Authorization": f"Bearer {SECRET}", "X-Signature": SECRET, "User-Agent": WORDS, "X-Request-Id": NAME}
    request = urllib.request.Request(stack.base_url + path, body or None, {**secret, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, f"{reply.headers} {reply.read().decode(errors='replace')}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers} {error.read().decode(errors='replace')}"


def hook_call(patient: str) -> dict[str, Any]:
    prefetch = {"patient": person(), "dxa": records.bundle(records.t_score(ID, note=[{"text": WORDS}]))}
    context = {"patientId": patient, "userId": f"Practitioner/{WORDS}", "encounterId": MRN}
    return {
        "hook": "patient-view",
        "hookInstance": "9d3f7b86-6c4a-4b1c-9a55-0e6ad9e4c001",
        "context": context,
        "prefetch": prefetch,
    }


def refusals(stack: Any) -> bool:
    """Whether the EHR's refusal is a dead letter."""
    database = Database(f"sqlite:///{stack.data_dir / 'vbq.sqlite3'}")
    try:
        return any("ehr" in str(row.reason_code) for row in Jobs(database).dead())
    finally:
        database.close()


ONE_BY_ONE = """
import contextlib, io, json, sys
from commands.__main__ import main

found = {}
for line in sys.argv[1:]:
    sys.argv = ["vbq", *line.split()]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        main()
    found["vbq " + line] = said.getvalue()
print(json.dumps(found))
"""


def commands_output(stack: Any) -> dict[str, str]:
    """What an operator sees who asks for nothing of a patient."""
    environment = {**os.environ, **stack.environment, "VBQ_DATA_DIR": str(stack.data_dir)}
    asked = (
        "doctor", "events list", "events list --json", "events dead", "events dead --json", "events stats",
        "audit verify", "model list", "cards report", "audit checkpoint",
    )  # fmt: skip
    command = [sys.executable, "-c", ONE_BY_ONE, *asked]  # in one process: its start costs more than they do
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, str] = json.loads(done.stdout)
    assert all(found[f"vbq {line}"] for line in asked), "each said something"
    return {**found, "vbq": done.stderr}


def test_nothing_of_a_patient_is_where_it_does_not_belong(own_stack: Any, small_study: Path, tmp_path: Path) -> None:
    stack = own_stack
    studies = study_with_canaries(small_study, tmp_path / "studies")
    with ehr_server.running() as ehr:
        config = tmp_path / "vbq.yaml"
        archive = {"name": "away", "wado_rs": "http://127.0.0.1:9/dicom-web"}
        config.write_text(yaml.safe_dump({"ehr": {"base_url": ehr.url}, "pacs": [archive]}))
        roots = json.dumps([str(tmp_path / "studies")])
        stack.environment |= {"VBQ_CONFIG": str(config), "VBQ_STUDY_ROOTS": roots, "VBQ_LOG_LEVEL": "DEBUG"}
        diagnostics = f"Patient {NAME} {MRN} is not welcome: {WORDS}"
        issue = {"severity": "error", "code": "invalid", "diagnostics": diagnostics}
        ehr.answer = (422, {"X-Why": NAME}, {"resourceType": "OperationOutcome", "issue": [issue]})
        stack.start()
        monitor = Monitor(socket_path(stack.data_dir))
        monitor.start()

        # everything of her, twice under another number (somebody else's images), once at an archive that is away
        note = [{"text": f"{NAME} {WORDS}"}]
        study = records.imaging_study(
            ID, address=records.file_url(studies), description=f"MR lumbar {WORDS}", note=note
        )
        wrong = records.imaging_study(ID, address=records.file_url(studies / NAME), name="wrong", description=WORDS)
        far = records.imaging_study(
            ID, address=f"http://127.0.0.1:9/dicom-web/studies/1.2.3?{NAME}={MRN}", name="far", study_uid="1.2.3"
        )
        condition = {
            "resourceType": "Condition",
            "id": "c1",
            "subject": {"reference": f"Patient/{ID}"},
            "code": {"text": f"{WORDS} {NAME}"},
            "note": note,
        }
        both = [person(), study, records.t_score(ID, note=note), condition, wrong, far]
        assert stack.call("POST", "/events", records.bundle(*both))[0] == 202
        assert stack.call("POST", "/events", person("stranger", identifier=[{"value": "X1"}]))[0] == 202
        mine = records.imaging_study("stranger", address=records.file_url(studies))
        assert stack.call("POST", "/events", records.bundle(mine, records.t_score("stranger")))[0] == 202

        def results() -> Any:
            return stack.call("GET", f"/fhir/RiskAssessment?patient=Patient/{ID}")[1].get("total")

        wait_until(results, 100, "a result")
        status, card = stack.call("POST", "/cds-services/vertebral-fracture-risk-view", hook_call(ID))
        assert status == 200
        comment = {"userComment": f"{NAME} {WORDS}", "reason": {"code": "doubtful"}}
        card_id = card["cards"][0]["uuid"] if card["cards"] else "9d3f7b86-6c4a-4b1c-9a55-0e6ad9e4c002"
        said = {"card": card_id, "outcome": "overridden", "outcomeTimestamp": "2025-01-01T00:00:00Z"}
        feedback = {"feedback": [{**said, "overrideReason": comment}]}
        status, _ = stack.call("POST", "/cds-services/vertebral-fracture-risk-view/feedback", feedback)
        assert status == 200

        # what is refused, and what dies in the middle of the work
        answers = [(row[0], row[1], *send(stack, *row)) for row in broken_calls()]
        assert stack.call("POST", "/events", records.t_score(ID, value=-3.3, name="again"))[0] == 202
        for pid in stack.children("workers work"):
            os.kill(pid, signal.SIGKILL)
        assert stack.call("DELETE", f"/events/Observation/t-{ID}")[0] in (200, 202)
        wait_until(lambda: len(ehr.came) > 0 and refusals(stack), 100, "a refusal")
        lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        family = "\n".join(line for line in lines.splitlines() if str(stack.data_dir) in line or "workers" in line)
        _, metrics = stack.call("GET", "/metrics")
        places = {
            "metrics": str(metrics),
            "command lines": family,
            **commands_output(stack),
            **{f"answer to {method} {path}": text for method, path, _, text in answers},
        }
        places["Redis"] = "\n".join(monitor.stop())
        stack.stop()
        places["log"] = stack.log
        kept = ("vbq.sqlite3", "stack.log")
        for path in stack.data_dir.rglob("*"):
            if path.is_file() and not path.name.startswith(kept) and "cache" not in path.parts:
                places[f"file {path.name}"] = path.read_bytes().decode(errors="replace")
            assert not found_in(path.name), "a file is named after her"
        sent = json.dumps([document for _, _, document in ehr.came])

    refused = [path for _, path, status, _ in answers if status >= 400]
    assert len(refused) > 20
    assert len(places["Redis"]) > 1000, "Redis was listened to"
    assert "refused" in places["log"], "there was something to say"
    leaks = {place: found for place, text in places.items() if (found := found_in(text))}
    assert leaks == {}
    assert ID in sent, "the EHR hears whose result it is"
    assert not [word for word in (NAME, MRN, WORDS, BROKEN, SECRET) if word in sent], "and no more than that"
