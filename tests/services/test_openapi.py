"""The OpenAPI document and the service say the same: real answers fit its schemas, and no status is unannounced.

Beside tests/services/test_schemathesis.py: here whole requests are mutated, so that most get beyond the first check.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.assessment import Assessment
from tests.services.conformance.test_rows import HOOK, body_for

Json = dict[str, Any]


@pytest.fixture
def open_app(make_app: Callable[..., Flask], put_into: Callable[..., Assessment]) -> Flask:
    app = make_app(dev_open=True)
    put_into(app)
    return app


def document_of(app: Flask) -> Json:
    document: Json = app.test_client().get("/openapi.json").get_json()
    return document


def validator(document: Json, reference: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": reference, "components": document["components"]})


def operations(document: Json) -> list[tuple[str, str, Json]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "put", "delete"}
    ]


def test_every_schema_is_one_and_every_operation_says_what_it_answers(open_app: Flask) -> None:
    document = document_of(open_app)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["responses"].keys() & {"200", "202", "302", "303"}, (method, path)


@pytest.mark.parametrize("service", list(HOOK))
def test_calls_and_answers_fit_their_schemas(open_app: Flask, service: str) -> None:
    document = document_of(open_app)
    body = body_for(service)
    validator(document, "#/components/schemas/HookRequest").validate(body)
    answer = open_app.test_client().post(f"/cds-services/{service}", json=body)
    validator(document, "#/components/schemas/HookResponse").validate(answer.get_json())
    assert answer.get_json()["cards"]
    wrong = open_app.test_client().post(f"/cds-services/{service}", json={})
    validator(document, "#/components/schemas/OperationOutcome").validate(wrong.get_json())


def test_the_discovery_fits_its_schema(open_app: Flask) -> None:
    answer = open_app.test_client().get("/cds-services").get_json()
    validator(document_of(open_app), "#/components/schemas/Discovery").validate(answer)


WORDS = st.sampled_from(["patient-view", "order-sign", "p1", "Practitioner/d1", "http://x.example/fhir", "é\0"])
LEAVES = st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=6)
NAMES = {
    "call": ["hook", "hookInstance", "context", "prefetch", "fhirServer", "fhirAuthorization"],
    "context": ["patientId", "userId", "draftOrders", "selections", "entry", "resource", "code", "coding"],
    "feedback": ["feedback", "card", "outcome", "outcomeTimestamp", "overrideReason", "reason"],
    "prefetch": ["patient", "dxa"],
}
KEYS = st.sampled_from([name for names in NAMES.values() for name in names])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)


def mutated(body: Json, path: list[int], value: Any) -> Json:
    """`body` with what lies at `path` (choices among sorted keys) put in place by `value`."""
    copy = json.loads(json.dumps(body))
    place: Any = copy
    for choice in path:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = keys[choice % len(keys)]
        if not isinstance(place[key], dict | list) or not place[key]:
            place[key] = value
            return copy
        last, place = (place, key), place[key]
    else:
        last[0][last[1]] = value
    return copy


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    service=st.sampled_from([*HOOK, "nowhere"]),
    suffix=st.sampled_from(["", "/feedback"]),
    path=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    value=VALUES,
)
def test_whatever_is_sent_the_answer_is_one_that_the_document_announces(
    open_app: Flask, service: str, suffix: str, path: list[int], value: Any
) -> None:
    document = open_app.extensions.setdefault("described", None) or document_of(open_app)
    open_app.extensions["described"] = document
    whole = body_for(service if service in HOOK else next(iter(HOOK)))
    entry = {"card": str(uuid.UUID(int=1)), "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:38:04Z"}
    body = mutated({"feedback": [{**entry, "overrideReason": {"userComment": "x"}}]} if suffix else whole, path, value)
    answer = open_app.test_client().post(f"/cds-services/{service}{suffix}", json=body)
    operation = document["paths"]["/cds-services/{name}" + suffix]["post"]
    assert str(answer.status_code) in operation["responses"]
    assert answer.status_code < 500
    content = operation["responses"][str(answer.status_code)]["content"][answer.mimetype]["schema"]
    if "$ref" in content:
        validator(document, content["$ref"]).validate(answer.get_json())
