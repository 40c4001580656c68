"""CapabilityStatement and OperationOutcome."""

import pytest

from schemas.events import RELEVANT_TYPES
from schemas.fhir.capability import SEARCHES, capability_statement
from schemas.fhir.full import validate
from schemas.fhir.outcome import outcome


def test_the_capability_statement_is_valid_and_says_what_is_read_and_what_is_taken() -> None:
    statement = capability_statement("http://127.0.0.1:8080/fhir", "vbq-cds 0.1.0")
    validate(statement)
    resources = statement["rest"][0]["resource"]
    assert {row["type"] for row in resources} == set(SEARCHES)
    assert {one["code"] for row in resources for one in row["interaction"]} == {"read", "search-type"}
    reading, taking, asking = statement["rest"]
    assert {row["type"] for row in taking["resource"]} == set(RELEVANT_TYPES)
    assert {one["code"] for row in taking["resource"] for one in row["interaction"]} == {"create", "update", "delete"}
    assert [part["mode"] for part in (reading, taking, asking)] == ["server", "server", "client"]
    assert statement["messaging"][0]["endpoint"][0]["address"] == "http://127.0.0.1:8080/events"
    assert statement["software"] == {"name": "vbq-cds", "version": "0.1.0"}


def test_an_outcome_is_valid_with_and_without_a_place() -> None:
    made = outcome(
        [("error", "invalid", "Field required", "Observation.status"), ("information", "informational", "x", "")]
    )
    validate(made)
    assert made["issue"][0]["expression"] == ["Observation.status"]
    assert "expression" not in made["issue"][1]


def test_an_outcome_without_issues_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        outcome([])
