"""Whatever is sent to whatever address: an answer in JSON (or our page), never a fault, never an echo."""

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CANARY = "Zx9canary"
PATHS = [
    "/events",
    "/events/Patient",
    "/events/Observation/o1",
    "/cds-services",
    "/cds-services/vertebral-fracture-risk-view",
    "/cds-services/vertebral-fracture-risk-order-sign/feedback",
    "/fhir/RiskAssessment",
    "/fhir/Device/x",
    "/fhir/metadata",
    "/models/lin2025-vbq-t",
    "/nowhere",
]
NAMES = [
    "resourceType",
    "id",
    "type",
    "entry",
    "resource",
    "hook",
    "context",
    "patientId",
    "feedback",
    "card",
    "status",
]
WORDS = st.sampled_from(["Patient", "Bundle", "Observation", "patient-view", "final", CANARY, "\0", "\ud83e", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
BODIES = st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode())
QUERIES = st.dictionaries(
    st.sampled_from(["patient", "identifier", "_count", "_offset", "_format", CANARY]),
    st.sampled_from(["", "p1", "Patient/p1", "-1", "9" * 30, "a|b|c", "%", CANARY]),
    max_size=3,
)


@pytest.fixture
def open_app(make_app: Any) -> Flask:
    app: Flask = make_app(dev_open=True)
    return app


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    path=st.sampled_from(PATHS),
    kind=st.sampled_from(["application/json", "application/fhir+json", "text/plain", "application/json; charset=x"]),
    body=BODIES,
    query=QUERIES,
)
def test_no_request_is_a_fault_of_ours(
    open_app: Flask, method: str, path: str, kind: str, body: bytes, query: dict[str, str]
) -> None:
    with open_app.test_client().open(
        path, method=method, data=body, query_string=query, headers={"Content-Type": kind}
    ) as response:
        assert response.status_code < 500
        if response.status_code >= 400 and method != "HEAD":
            outcome = response.get_json()
            assert outcome["resourceType"] == "OperationOutcome"
            assert CANARY not in response.text
        if response.mimetype == "text/html" and response.data:
            assert path.startswith("/models/")
