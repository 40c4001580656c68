"""From a hook call to a RiskAssessment, for real: the T-score comes by prefetch alone, and the pipeline takes it up."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import records
from tests.conftest import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
VIEW = "/cds-services/vertebral-fracture-risk-view"


def test_a_t_score_that_only_a_hook_call_brings_ends_in_a_final_risk_assessment(
    own_stack: Any, small_study: Path
) -> None:
    stack = own_stack
    stack.environment["VBQ_STUDY_ROOTS"] = json.dumps([str(small_study.parent)])
    stack.start()
    study = records.imaging_study("h", address=records.file_url(small_study))
    assert stack.call("POST", "/events", records.bundle(records.patient("h"), study))[0] == 202

    def statuses() -> dict[str, str]:
        _, found = stack.call("GET", "/fhir/RiskAssessment?patient=Patient/h")
        return {row["resource"]["id"]: row["resource"]["status"] for row in found.get("entry", [])}

    wait_until(lambda: "preliminary" in statuses().values(), 60, "the incomplete assessment")
    call = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"patientId": "h", "userId": "Practitioner/d1"},
        "prefetch": {"dxa": {"resourceType": "Bundle", "entry": [{"resource": records.t_score("h", -3.4)}]}},
    }
    status, answer = stack.call("POST", VIEW, call, {"Content-Type": "application/json"})
    assert status == 200
    [first] = answer["cards"]
    assert "First answer, computed on the spot" in first["detail"]

    wait_until(lambda: "final" in statuses().values(), 60, "the full assessment")
    time.sleep(0.3)
    _, answer = stack.call("POST", VIEW, {**call, "prefetch": {}}, {"Content-Type": "application/json"})
    [full] = answer["cards"]
    assert full["summary"] == first["summary"]
    assert "First answer" not in full["detail"]
    assert full["uuid"] == first["uuid"], "the full assessment is the one that was shown: feedback finds it"
