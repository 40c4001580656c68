"""What the CDS Hooks Sandbox really sent (../shared/cds-hooks/recorded), replayed with fresh keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from schemas.assessment import Assessment

BASE = "http://127.0.0.1:8080"
OURS = {
    "patient-view": "vertebral-fracture-risk-view",
    "order-select": "vertebral-fracture-risk-order-select",
    "order-sign": "vertebral-fracture-risk-order-sign",
}
NAMES = ["patient-view", "order-select", "order-select_rx", "order-sign_rx"]


@pytest.fixture
def replay(client: FlaskClient, signer: Any, shared: Path) -> Callable[[str, str], Any]:
    """Sends the recorded body of a file to one of our services; returns the answer."""

    def send(name: str, path: str) -> Any:
        recorded = json.loads((shared / "cds-hooks" / "recorded" / f"POST_cds-services-vfx-{name}.json").read_text())
        body = recorded["body"]
        if "fhirServer" in body:
            body["fhirServer"] = "https://ehr.example/fhir"  # ours is configured for another server than the sandbox's
        headers = {
            key: value for key, value in recorded["headers"].items() if key in {"Accept", "Origin", "User-Agent"}
        }
        token = signer.token(f"{BASE}{path}", {"jku": recorded["jwt_header"]["jku"]})
        return client.post(path, json=body, headers={**headers, "Authorization": f"Bearer {token}"})

    return send


@pytest.mark.parametrize("name", NAMES)
def test_the_sandboxs_calls_are_understood_and_answered_with_the_stored_risk(
    replay: Callable[[str, str], Any], store: Callable[..., Assessment], name: str
) -> None:
    store("Patient/vfx-1")
    response = replay(name, f"/cds-services/{OURS[name.removesuffix('_rx')]}")
    assert response.status_code == 200, response.text
    [card] = response.get_json()["cards"]
    assert "vertebral fracture risk" in card["summary"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("name", ["patient-view", "order-select"])
def test_the_sandboxs_feedback_is_taken(replay: Callable[[str, str], Any], name: str) -> None:
    assert replay(f"{name}-feedback", f"/cds-services/{OURS[name]}/feedback").status_code == 200
