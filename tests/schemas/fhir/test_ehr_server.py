"""Our transaction on somebody else's FHIR R4 server (sekmet-fhir, on a port of its own): accepted, and repeatable."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.assessment import Assessment
from schemas.fhir.results import as_transaction, resources_of
from tests import assessments as made
from tests.ehr_server import sekmet

OURS = ("Device", "Observation", "RiskAssessment", "Provenance")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    from sekmet.fhir.search_params import PARAMS, SearchParam

    # It knows no search parameter of RiskAssessment, which R4 has; without one a conditional create is refused.
    monkeypatch.setitem(PARAMS, "RiskAssessment", {"identifier": SearchParam("identifier", "token", ("identifier",))})
    with sekmet(tmp_path, monkeypatch) as client:
        for resource in theirs():
            answer = client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
            assert answer.status_code == 201
        yield client


def theirs() -> list[dict[str, Any]]:
    """What the EHR has before us, and what our resources refer to."""
    about = {"subject": {"reference": "Patient/p1"}}
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **about}
    return [
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "ImagingStudy", "id": "is1", "status": "available", **about},
        {**observation, "id": "o1"},
        {**observation, "id": "o2"},
        {"resourceType": "Condition", "id": "c1", **about},
    ]


def send(server: httpx.Client, *told: tuple[Assessment, str | None]) -> None:
    resources = [row for assessment, by in told for row in resources_of(assessment, superseded_by=by)]
    answer = server.post("/fhir", json=as_transaction(resources))
    assert answer.status_code == 200
    assert {entry["response"]["status"][:2] for entry in answer.json()["entry"]} == {"20"}


def held(server: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    """Our resources as the server has them."""
    mine = {"o1", "o2"}
    found = {kind: server.get(f"/fhir/{kind}").json().get("entry", []) for kind in OURS}
    return {
        kind: [row["resource"] for row in rows if row["resource"]["id"] not in mine] for kind, rows in found.items()
    }


def test_sent_twice_there_is_one_of_each(server: httpx.Client) -> None:
    for _ in range(2):
        send(server, (made.assessment(), None))
    assert {kind: len(rows) for kind, rows in held(server).items()} == {
        "Device": 2,
        "Observation": 1,
        "RiskAssessment": 1,
        "Provenance": 1,
    }


def test_a_superseded_one_is_amended_where_it_lies_and_points_to_the_new_one(server: httpx.Client) -> None:
    send(server, (made.assessment(), None))
    new = made.assessment(id=made.NEW_ID, key="ef" * 32, supersedes=made.OLD_ID)
    send(server, (made.assessment(), made.NEW_ID), (new, None))
    by_status = {row["status"]: row for row in held(server)["RiskAssessment"]}
    assert set(by_status) == {"amended", "final"}
    (pointer,) = (
        row["valueReference"]["reference"] for row in by_status["amended"]["extension"] if "valueReference" in row
    )
    assert pointer == f"RiskAssessment/{by_status['final']['id']}"
    assert len(held(server)["Observation"]) == 1


def test_one_that_comes_back_is_final_again(server: httpx.Client) -> None:
    first, second = made.assessment(), made.assessment(id=made.NEW_ID, key="ef" * 32, supersedes=made.OLD_ID)
    send(server, (first, None))
    send(server, (first, second.id), (second, None))
    send(server, (second, first.id), (first.but(supersedes=second.id), None))
    rows = {row["identifier"][0]["value"]: row["status"] for row in held(server)["RiskAssessment"]}
    assert rows == {first.key: "final", second.key: "amended"}


def test_a_withdrawn_measurement_is_marked_entered_in_error(server: httpx.Client) -> None:
    send(server, (made.assessment(), None))
    gone = made.withdrawn(id=made.NEW_ID, key="ef" * 32, supersedes=made.OLD_ID)
    send(server, (made.assessment(), gone.id), (gone, None))
    assert [row["status"] for row in held(server)["Observation"]] == ["entered-in-error"]
