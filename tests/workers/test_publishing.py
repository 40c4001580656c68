"""What the EHR hears, and how often."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import records
from tests.ehr_server import AGREES, Server, running, sekmet


@pytest.fixture
def ehr() -> Iterator[Server]:
    with running() as server:
        server.answer = (200, {}, AGREES)
        yield server


@pytest.fixture
def hands(make_hands: Callable[..., Any], ehr: Server, small_study: Path) -> Any:
    made = make_hands(ehr_base_url=ehr.url)
    study = records.imaging_study(address=records.file_url(small_study))
    made.push(records.patient(), study, records.t_score(value=-2.5))
    return made


def sent(ehr: Server, kind: str = "RiskAssessment") -> list[tuple[str, str]]:
    """(status, method) of each resource of a kind in the last transaction."""
    entries = ehr.came[-1][2]["entry"]
    return [
        (row["resource"].get("status", ""), row["request"]["method"])
        for row in entries
        if row["resource"]["resourceType"] == kind
    ]


def test_a_result_is_sent_once_as_a_transaction(hands: Any, ehr: Server) -> None:
    hands.work()
    assert len(ehr.came) == 1
    assert ehr.came[0][2]["type"] == "transaction"
    assert sent(ehr) == [("final", "POST")]
    hands.bench.inbox.replay([1, 2, 3])
    hands.work()
    assert len(ehr.came) == 1


def test_a_new_result_takes_the_old_one_along_as_amended(hands: Any, ehr: Server) -> None:
    hands.work()
    hands.push(records.t_score(value=-3.5, name="later"))
    hands.work()
    assert sorted(sent(ehr)) == [("amended", "PUT"), ("final", "PUT")]


def test_an_ehr_that_is_away_is_tried_again_with_the_newest_state(hands: Any, ehr: Server) -> None:
    ehr.answer = (503, {"Retry-After": "30"}, {})
    hands.work()
    job = hands.job("publish")
    assert (job.state, job.reason_code) == ("due", "ehr-unavailable")
    assert job.due_at > hands.bench.now().timestamp() + 20
    ehr.answer = (200, {}, AGREES)
    hands.hurry()
    hands.work()
    assert hands.job("publish").state == "idle"
    assert sent(ehr) == [("final", "POST")]


def test_what_the_ehr_refuses_is_a_dead_letter_that_a_replay_brings_back(hands: Any, ehr: Server) -> None:
    ehr.answer = (422, {}, {"resourceType": "OperationOutcome", "issue": [{"code": "invalid"}]})
    hands.work()
    (dead,) = hands.bench.jobs.dead()
    assert (dead.kind, dead.reason_code) == ("publish", "ehr-refused")
    ehr.answer = (200, {}, AGREES)
    hands.bench.jobs.replay_dead()
    hands.work()
    assert hands.bench.jobs.dead() == []
    assert sent(ehr) == [("final", "POST")]


def test_a_card_does_not_wait_for_the_ehr(hands: Any, ehr: Server) -> None:
    ehr.answer = (503, {}, {})
    hands.work()
    view = hands.bench.results.view("Patient/p1")
    assert view.assessment is not None
    assert not view.in_progress


def test_a_server_that_cannot_search_by_identifier_gets_puts_under_our_own_ids(
    make_hands: Callable[..., Any], small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sekmet-fhir as it comes knows no search parameter of RiskAssessment, so it refuses conditional creates."""
    with sekmet(tmp_path, monkeypatch) as server:
        hands = make_hands(ehr_base_url=f"{server.base_url}/fhir")
        study = records.imaging_study(address=records.file_url(small_study))
        came = [records.patient(), study, records.t_score(value=-2.5), records.t_score(value=-3.5, name="later")]
        for resource in came:
            answer = server.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
            assert answer.status_code == 201
        hands.push(*came[:3])
        hands.work()
        hands.push(came[3])
        hands.work()
        entries = server.get("/fhir/RiskAssessment").json()["entry"]
        mine = hands.bench.results.search("RiskAssessment", patient="Patient/p1")
        assert {(row["resource"]["id"], row["resource"]["status"]) for row in entries} == {
            (body["id"], body["status"]) for body in map(json.loads, mine.bodies)
        }
        assert sorted(row["resource"]["status"] for row in entries) == ["amended", "final"]
