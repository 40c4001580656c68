"""Merges, deletions, the audit log and an erasure over HTTP, on the whole stack while it is at work."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import records
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def latest(stack: Any, patient: str) -> dict[str, Any]:
    """The RiskAssessment that counts; empty where there is none."""
    _, found = stack.call("GET", f"/fhir/RiskAssessment?patient=Patient/{patient}")
    rows = [row["resource"] for row in found.get("entry", [])]
    return next((row for row in rows if row["status"] != "amended"), {})


def notes(resource: dict[str, Any]) -> str:
    return " ".join(note["text"] for note in resource.get("note", []))


def vbq(stack: Any, *arguments: str) -> tuple[int, Any]:
    environment = {**os.environ, "VBQ_DATA_DIR": str(stack.data_dir)}
    command = [sys.executable, "-m", "commands", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_life_of_two_records(stack: Any) -> None:
    one, two = "ops-merged-1", "ops-merged-2"
    for resource in (records.patient(one), records.patient(two), records.t_score(one, value=-2.6)):
        assert stack.call("POST", "/events", resource)[0] == 202
    wait_until(lambda: "-2.6" in notes(latest(stack, one)), 60, "the first assessment")

    link = {"link": [{"other": {"reference": f"Patient/{two}"}, "type": "replaced-by"}]}
    merged = records.patient(one, active=False, meta={"versionId": "2"}, **link)
    assert stack.call("PUT", f"/events/Patient/{one}", merged)[0] == 200
    wait_until(lambda: "-2.6" in notes(latest(stack, two)), 60, "the survivor's assessment")
    gone = wait_until(lambda: (row := latest(stack, one))["status"] == "cancelled" and row, 60, "the withdrawal")
    assert f"replaced by Patient/{two}" in notes(gone)

    assert stack.call("DELETE", f"/events/Observation/t-{one}")[0] == 202
    wait_until(lambda: latest(stack, two).get("status") == "cancelled", 60, "the survivor's withdrawal")
    assert "inputs-withdrawn" in notes(latest(stack, two))

    status, checked = vbq(stack, "audit", "verify", "--json")
    assert (status, checked["ok"]) == (0, True)
    status, done = vbq(stack, "purge", "--patient", f"Patient/{two}", "--yes", "--json")
    assert (status, done["bytes_gone"]) == (0, True), "also while the stack is at work"
    assert done["patients"] == [f"Patient/{two}", f"Patient/{one}"]
    content = b"".join(path.read_bytes() for path in Path(stack.data_dir).glob("vbq.sqlite3*"))
    assert b"ops-merged" not in content
    assert vbq(stack, "audit", "verify", "--json")[1]["ok"]
    assert latest(stack, two) == {}
    assert stack.call("POST", "/events", records.t_score(two, value=-2.0))[0] == 202
    wait_until(lambda: latest(stack, two), 60, "her return")
