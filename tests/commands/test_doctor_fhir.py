"""vbq doctor and `vbq ehr status` on FHIR servers: login, capabilities, circuits; no secret in sight."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest

from commands.doctor import doctor
from commands.ehr import status_
from gateways.fhir.checks import described
from gateways.fhir.circuit import FAILURES, Circuit
from gateways.fhir.client import FhirClient
from gateways.fhir.http import FhirHttp
from gateways.fhir.watermarks import Watermarks
from services.ehr_metrics import EhrGauges
from tests.databases import with_tables
from tests.ehr_server import sekmet
from tests.hostile_server import Answer, Hostile, answers, hostile

Json = dict[str, Any]
SECRET = "made-up-and-secret"


def statement(**changes: Any) -> Json:
    """What a server says that does everything."""
    able: Json = {"interaction": [{"code": "create"}, {"code": "update"}, {"code": "search-type"}]}
    params = {"searchParam": [{"name": "identifier"}, {"name": "_lastUpdated"}]}
    kinds = (
        "Patient",
        "Observation",
        "Condition",
        "ImagingStudy",
        "Endpoint",
        "Device",
        "RiskAssessment",
        "Provenance",
    )
    resources = [{"type": kind, "conditionalCreate": True, **able, **params} for kind in kinds]
    rest = {"mode": "server", "interaction": [{"code": "transaction"}], "resource": resources}
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{**rest, **changes}]}


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile(answers({"metadata": statement()})) as one:
        yield one


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hostile) -> Callable[..., dict[str, Json]]:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EHR_TOKEN", SECRET)

    def run(auth: Json | None = None, **sender: Any) -> dict[str, Json]:
        made: Json = {"ehr": {"base_url": server.base, "auth": auth or {"kind": "bearer", "token_env": "EHR_TOKEN"}}}
        if sender:
            common = {"name": "hapi", "bearer_sha256": "0" * 64, "fhir_base_url": server.base}
            made["senders"] = [{**common, **sender}]
        (tmp_path / "c.yaml").write_text(json.dumps(made))
        monkeypatch.setenv("VBQ_CONFIG", str(tmp_path / "c.yaml"))
        done = CliRunner().invoke(doctor, ["--json"], standalone_mode=False)
        assert SECRET not in done.output
        return {row["name"]: row for row in json.loads(done.stdout)["checks"]}

    return run


def test_a_server_that_does_what_we_need_is_well(examine: Any, server: Hostile) -> None:
    found = examine(reads={"kind": "none"})
    assert found["EHR"]["ok"]
    assert "logs in with a token; results go by conditional create" in found["EHR"]["detail"]
    assert found["FHIR server of hapi"]["ok"]
    assert "no login; back-fill by searches" in found["FHIR server of hapi"]["detail"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401, {}), "does not let us in"),
        (Answer(503, {}), "answered 503"),
        (Answer(200, b"<html>"), "cannot be read"),
        (Answer(200, {"resourceType": "Patient"}), "no CapabilityStatement"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), "redirect"),
        (Answer(200, {**statement(), "fhirVersion": "5.0.0"}), "only R4"),
        (Answer(200, statement(interaction=[])), "does not state transactions"),
        (Answer(200, statement(resource=[])), "may write Device, Observation, RiskAssessment, Provenance"),
        (Answer(200, {"resourceType": "CapabilityStatement", "rest": [7, {"mode": "client"}]}), "transactions"),
    ],
)
def test_what_is_lacking_is_said(examine: Any, server: Hostile, answer: Answer, words: str) -> None:
    server.script = answers({"metadata": answer})
    found = examine()["EHR"]
    assert not found["ok"]
    assert not found["needed"], "results wait for an EHR; hooks are answered all the same"
    assert words in found["detail"]


def test_a_login_that_cannot_work_is_said(examine: Any) -> None:
    for auth, words in (({"kind": "bearer", "token_env": "NOT_SET"}, "token_env"), ({"kind": "basic"}, "username_env")):
        found = examine(auth=auth)["EHR"]
        assert (found["ok"], found["needed"]) == (False, True)
        assert words in found["detail"]


def test_ways_of_writing_and_reading_follow_from_the_statement(server: Hostile) -> None:
    def told(**changes: Any) -> str:
        made = statement()
        for row in made["rest"][0]["resource"]:
            row.update(changes)
        server.script = answers({"metadata": made})
        with FhirClient(FhirHttp(server.base)) as client:
            found = described(client, writes=True, reads=["Patient"])
        return "; ".join([*found.fine, "WRONG", *found.wrong])

    assert "under our own ids" in told(conditionalCreate=False, updateCreate=True)
    assert "may be refused" in told(conditionalCreate=False).partition("WRONG")[2]
    assert "_lastUpdated are not stated for Patient" in told(searchParam=[{"name": "identifier"}])
    assert "does not state searches of Patient" in told(interaction=[{"code": "create"}])
    assert "back-fill by $export" in told(operation=[{"name": "$export"}])


def test_circuits_and_polls_are_shown_by_doctor_status_and_metrics(examine: Any, tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'vbq.sqlite3'}")
    circuit = Circuit(database, "https://ehr.example:443")
    for _ in range(FAILURES):
        circuit.failed("ehr-unavailable", None)
    marks = Watermarks(database)
    marks.seen_until("hapi", "Patient")
    marks.move("hapi", "Patient", 1.0, through=True)
    marks.seen_until("hapi", "Observation")
    marks.failed("hapi", "Observation", "ehr-paging")
    checks = examine()
    assert "open after 5 failures (ehr-unavailable)" in checks["circuit https://ehr.example:443"]["detail"]
    assert "Observation did not end (ehr-paging)" in checks["poll of hapi"]["detail"]
    shown = CliRunner().invoke(status_, ["--json"], standalone_mode=False)
    document = json.loads(shown.stdout)
    assert document["circuits"][0]["state"] == "open"
    assert [row["code"] for row in document["polls"]] == ["ehr-paging", None]
    assert document["backfills"] == []
    assert "back-fills: none yet" in CliRunner().invoke(status_, [], standalone_mode=False).stdout
    registry = CollectorRegistry()
    registry.register(EhrGauges(database))
    page = generate_latest(registry).decode()
    assert 'vbq_circuit_state{system="https://ehr.example:443"} 2.0' in page
    assert 'vbq_reconcile_age_seconds{resource_type="Patient",source="hapi"}' in page
    database.close()


def test_a_server_that_we_did_not_write_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sekmet(tmp_path, monkeypatch) as theirs:
        base = f"{str(theirs.base_url).rstrip('/')}/fhir"
        with FhirClient(FhirHttp(base)) as client:
            found = described(client, writes=True, reads=["Patient", "Observation", "ImagingStudy"])
    assert found.wrong == ["it does not state that one may write RiskAssessment"], "a known gap of its statement"
    assert "back-fill by $export" in found.fine
