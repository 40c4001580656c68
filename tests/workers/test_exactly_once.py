"""Whatever becomes of the connection, the EHR holds each result once. A server of the tests' own, with real HTTP."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from gateways.fhir.circuit import FAILURES
from gateways.store.database import Database
from gateways.store.ehr_tables import ehr_sends
from tests import records
from tests.hostile_server import Answer, Asked, Hostile, hostile

Json = dict[str, Any]
FAULTS = ("cut before", "cut after", "500 after", "503 after", "half an answer")


@dataclass
class Store:
    """A FHIR server that does transactions. `honest`: it heeds ifNoneExist; `finds`: it can search by identifier."""

    honest: bool = True
    finds: str = "yes"
    plan: list[str] = field(default_factory=list)
    kept: dict[str, Json] = field(default_factory=dict)
    bundles: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            return self.read(asked)
        fault = self.plan.pop(0) if self.plan else ""
        if fault == "cut before":
            return Answer(cut=True)
        answer = self.transaction(json.loads(asked.body))
        if answer.status != 200:
            return answer
        self.bundles += 1
        if fault == "cut after":
            return Answer(cut=True)
        if fault.endswith("after"):
            return Answer(int(fault[:3]), {})
        if fault:
            return Answer(200, b'{"resourceType"', {"Content-Length": "9999", "Connection": "close"})
        return answer

    def read(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.path)
        if parts.path in self.kept:
            return Answer(200, self.kept[parts.path])
        if "/" in parts.path or not parts.query:
            return Answer(404, {"resourceType": "OperationOutcome", "issue": [{"code": "not-found"}]})
        if self.finds == "no":
            return Answer(400, {"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]})
        system, _, value = parse_qs(parts.query)["identifier"][0].partition("|")
        rows = [
            row
            for key, row in self.kept.items()
            if key.startswith(f"{parts.path}/") and (self.finds == "ignores" or has(row, system, value))
        ]
        entries = [{"resource": row} for row in rows]
        return Answer(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries})

    def transaction(self, bundle: Json) -> Answer:
        said = []
        for entry in bundle["entry"]:
            request, resource = entry["request"], dict(entry["resource"])
            kind, _, query = request["url"].partition("?")
            if query or request.get("ifNoneExist"):
                if self.finds == "no":
                    return Answer(400, {"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]})
                query = query or (request["ifNoneExist"] if self.honest else "")
            system, _, value = query.removeprefix("identifier=").partition("|")
            there = [
                key for key, row in self.kept.items() if query and key.startswith(kind) and has(row, system, value)
            ]
            if request["method"] == "PUT" and not query:
                there = [request["url"]]
            key = there[0] if there else f"{kind}/n{next(self.numbers)}"
            if request["method"] == "POST" and there:
                said.append("200 OK")
                continue
            old = self.kept.get(key, {}).get("meta", {}).get("versionId", "0")
            if "ifMatch" in request and request["ifMatch"] != f'W/"{old}"':
                return Answer(412, {})
            meta = {"versionId": str(int(old) + 1)}
            self.kept[key] = {**resource, "id": key.partition("/")[2], "meta": meta}
            said.append("201 Created")
        entries = [{"response": {"status": line}} for line in said]
        return Answer(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": entries})

    def results(self) -> list[str]:
        return sorted(row["status"] for key, row in self.kept.items() if key.startswith("RiskAssessment/"))


def has(row: Json, system: str, value: str) -> bool:
    rows = row.get("identifier", [])
    return any((one.get("system"), one.get("value")) == (system, value) for one in rows)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One database: what is tested here lies between us and the EHR. Both: tests/gateways/fhir/test_circuit.py."""
    return sqlite_database


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile(lambda asked: Answer(500)) as one:
        yield one


@pytest.fixture
def start(make_hands: Callable[..., Any], server: Hostile, tmp_path: Path) -> Callable[..., Any]:
    def started(store: Store, **ehr: Any) -> Any:
        """A T-score without a study is a result too: preliminary, and made without measuring anything."""
        server.script = store
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"ehr": {"base_url": server.base, **ehr}}))
        hands = make_hands(config=config)
        hands.push(records.patient(), records.t_score(value=-2.5))
        return hands

    return started


def work_it_out(hands: Any, rounds: int = 12) -> None:
    """Time passes, for the jobs and for the circuit, until nothing is due."""
    for _ in range(rounds):
        hands.work()
        if hands.job("publish").state == "idle":
            return
        hands.hurry()
    pytest.fail(f"never published: {hands.job('publish')}")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "store",
    [
        {},
        {"honest": False},
        {"finds": "ignores", "honest": False},
        {"finds": "no"},
    ],
    ids=["conditional creates", "ignores ifNoneExist", "ignores search parameters too", "cannot search"],
)
def test_a_send_whose_end_nobody_saw_leaves_one_result(start: Any, fault: str, store: dict[str, Any]) -> None:
    plain, there = Store(**store), Store(**store, plan=[fault, fault])
    if plain.finds == "no":
        there.plan = ["", fault, "", fault]  # the refused conditional create comes before each PUT
    hands = start(there)
    work_it_out(hands)
    assert there.results() == ["preliminary"]
    assert hands.job("publish").state == "idle"
    with hands.bench.database.read() as connection:
        assert connection.execute(select(ehr_sends)).all() == [], "nothing is unsure any more"
    if plain.finds != "no" and fault != "cut before":
        assert there.bundles == 1, "what had arrived is not sent again"


@pytest.mark.parametrize("writes", ["conditional", "client-ids"])
def test_amended_and_new_results_are_each_there_once_whatever_is_cut(start: Any, writes: str) -> None:
    there = Store()
    hands = start(there, writes=writes)
    work_it_out(hands)
    there.plan = ["cut before", "cut after", "500 after"]
    hands.push(records.t_score(value=-3.5, name="later"))
    work_it_out(hands)
    assert there.results() == ["amended", "preliminary"]


def test_our_own_ids_overwrite_no_version_that_we_did_not_look_at(start: Any, server: Hostile) -> None:
    there = Store()
    hands = start(there, writes="client-ids")
    work_it_out(hands)
    (key,) = [key for key in there.kept if key.startswith("RiskAssessment/")]

    def overtaken(asked: Asked) -> Answer:
        """Somebody else writes between our look and our PUT, once."""
        answer = there(asked)
        if asked.method == "GET" and asked.path == key and there.kept[key]["meta"]["versionId"] == "1":
            answer = Answer(200, json.loads(json.dumps(there.kept[key])))
            there.kept[key]["meta"]["versionId"] = "2"
        return answer

    server.script = overtaken
    hands.push(records.t_score(value=-3.5, name="later"))
    hands.work()
    job = hands.job("publish")
    assert (job.state, job.reason_code) == ("due", "ehr-conflict")
    work_it_out(hands)
    assert there.results() == ["amended", "preliminary"]
    assert there.kept[key]["meta"]["versionId"] == "3"


def test_an_ehr_that_is_away_for_long_makes_no_dead_letter(start: Any, server: Hostile) -> None:
    hands = start(Store())
    server.script = lambda asked: Answer(500)
    for _ in range(40):
        hands.work()
        hands.hurry()
    job = hands.job("publish")
    assert job.state == "due"
    assert job.attempts < 10
    server.script = Store()
    work_it_out(hands)
    assert server.script.results() == ["preliminary"]


def test_a_backlog_waits_for_an_ehr_that_is_away_without_asking_it(start: Any, server: Hostile) -> None:
    there = Store()
    hands = start(there)
    hands.work()
    server.script = lambda asked: Answer(500)
    server.asked.clear()
    for number in range(20):
        hands.push(records.patient(f"q{number}"), records.t_score(f"q{number}"))
    hands.work()
    assert len(server.asked) == FAILURES
    assert not [kind for _, kind in hands.due() if kind == "publish"]
    server.script = there
    hands.hurry()
    hands.work()
    hands.hurry()
    hands.work()
    assert there.results() == ["preliminary"] * 21
