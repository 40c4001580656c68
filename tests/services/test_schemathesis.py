"""schemathesis against the OpenAPI document, in-process: what it makes of the document is sent, and judged by it.

Three ways in: everything open, a CDS client with a valid token each time, and nobody. Bounded, with a fixed seed:
`SCHEMATHESIS_EXAMPLES=300 ./run test -k schemathesis` looks harder.
"""

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks

from schemas.assessment import Assessment

load_all_checks()
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
LIMITS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A document cannot say what makes FHIR acceptable, nor which members a hook needs: what it allows may be refused (4xx).
LOOSER: list[Any] = [*CHECKS.get_by_names(["positive_data_acceptance"])]
UNGUARDED: list[Any] = [*CHECKS.get_by_names(["positive_data_acceptance", "ignored_auth"])]
BASE = "http://127.0.0.1:8080"
# before who calls is looked at: the type and size of the body, and what the address takes
BEFORE_AUTH = {400, 401, 403, 404, 405, 413, 415}


def operations(app: Flask) -> list[Any]:
    schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app)
    return [found.ok() for found in schema.get_all_operations()]


def each(operation: Any, look: Callable[[Case[Any]], object]) -> None:
    """Give `look` cases of one operation."""

    @LIMITS
    @given(case=operation.as_strategy())
    def run(case: Case[Any]) -> None:
        look(case)

    run()


def test_what_the_document_allows_is_answered_as_it_says(
    make_app: Callable[..., Flask], put_into: Callable[..., Assessment]
) -> None:
    app = make_app(dev_open=True)
    put_into(app)
    found = operations(app)
    assert len(found) > 20
    for operation in found:
        each(operation, lambda case: case.call_and_validate(excluded_checks=UNGUARDED))


def test_a_cds_client_with_a_token_gets_what_the_document_says(
    app: Flask, put_into: Callable[..., Assessment], signer: Any
) -> None:
    put_into(app)
    hooks = [row for row in operations(app) if row.path.startswith("/cds-services")]
    assert len(hooks) == 3
    statuses = set()

    def look(case: Case[Any]) -> None:
        token = signer.token(f"{BASE}{case.formatted_path}")
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        statuses.add(answer.status_code)
        case.validate_response(answer, excluded_checks=UNGUARDED)

    for operation in hooks:
        each(operation, look)
    assert 200 in statuses
    assert 401 not in statuses


def test_nobody_gets_in_anywhere_without_proof(app: Flask, put_into: Callable[..., Assessment]) -> None:
    put_into(app)
    for operation in operations(app):
        guarded = operation.definition.raw.get("security") != []

        def look(case: Case[Any], guarded: bool = guarded) -> None:
            case.headers.pop("Authorization", None)
            case.headers.pop("X-Signature", None)
            answer = case.call()
            if guarded:
                assert answer.status_code in BEFORE_AUTH, (case.method, case.path, answer.status_code)
                assert "p1" not in re.findall(r"\w+", answer.text), "an answer to a stranger names nobody"
            else:
                case.validate_response(answer, excluded_checks=LOOSER)

        each(operation, look)


@pytest.mark.parametrize("path", ["/cds-services", "/fhir/RiskAssessment", "/review/x", "/events/Patient/p1"])
def test_credentials_that_are_none_are_401(app: Flask, path: str) -> None:
    browser = app.test_client()
    for value in ("", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer a.b.c", "Bearer " + "x" * 9000, "\xff"):
        method = "DELETE" if path.startswith("/events") else "GET"
        assert browser.open(path, method=method, headers={"Authorization": value}).status_code == 401, value[:20]
