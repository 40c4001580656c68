"""`vbq cohort build --fhir`: the same women, rules and flow from a FHIR server as from the store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands.cohort_build import build_
from gateways.fhir.cohort_server import vbq_measurement
from gateways.records.results import Results
from gateways.store.database import Database
from schemas.fhir import systems
from schemas.measurement import Acquisition, Measurement
from tests import records
from tests.commands.test_cohort_build import FRACTURE, MET, OLD, condition, rows_of
from tests.gateways.bulk_server import BulkServer, ndjson
from tests.hostile_server import Answer, hostile

Json = dict[str, Any]
DAY = "2016-03-01"


def score(name: str, value: float, status: str = "final", **changes: Any) -> Json:
    """The VBQ Observation that this product would have sent."""
    return {
        "resourceType": "Observation",
        "id": f"vbq-{name}",
        "status": status,
        "code": {"coding": [{"system": systems.MEASURE, "code": "vbq-score"}]},
        "subject": {"reference": f"Patient/{name}"},
        "effectiveDateTime": DAY,
        "derivedFrom": [{"reference": f"ImagingStudy/s-{name}"}],
        "valueQuantity": {"value": value, "unit": "ratio", "system": records.UCUM, "code": "{ratio}"},
        **changes,
    }


def woman(name: str, *more: Json, vbq: float | None = 4.1, t_score: float | None = -2.9, **person: Any) -> list[Json]:
    """Everything that a server holds of a woman of the cohort; each argument spoils one thing."""
    rows = [records.patient(name, **{"birthDate": "1948-05-01", **person}), records.imaging_study(name, started=DAY)]
    rows.append(records.observation(f"w-{name}", name, records.WEIGHT, 61.0, "kg", date="2023-03-02"))
    rows += [{**row, "subject": {"reference": f"Patient/{name}"}} for row in more]
    if t_score is not None:
        rows.append(records.t_score(name, t_score, date="2016-02-01"))
    if vbq is not None:
        rows.append(score(name, vbq))
    return rows


def everybody() -> list[Json]:
    people = [
        woman("secret-event", condition("f1", FRACTURE, "2020-03-01"), vbq=4.8, t_score=-3.1),
        woman("secret-free", condition("f2", FRACTURE, OLD), vbq=3.9, t_score=-1.9),
        woman("man", gender="male"),
        woman("unmeasured", vbq=None),
        woman("metastasis", condition("m1", MET, OLD)),
        woman("no-t", t_score=None),
        woman("unsure", score("unsure", 4.0, status="preliminary"), vbq=None),
        woman("taken-back", score("taken-back", 4.0, status="entered-in-error"), vbq=None),
        [records.patient("no-study")],
    ]
    return [row for rows in people for row in rows]


@pytest.fixture
def server() -> Iterator[BulkServer]:
    with hostile(lambda asked: Answer(500)) as hosted:
        made = BulkServer(hosted, rows=everybody(), offers=())
        hosted.script = made
        yield made


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(build_, [str(arg) for arg in args])


def flow_of(server: BulkServer, *args: object) -> Any:
    done = run("--fhir", server.hosted.base, *args, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_everybody_falls_out_where_the_paper_says(server: BulkServer, place: Path) -> None:
    out = place / "c.csv"
    flow = flow_of(server, "--out", out)
    assert flow["source"] == "a FHIR server"
    assert [(step["n"], {row["code"]: row["n"] for row in step["left_out"]}) for step in flow["steps"][:6]] == [
        (9, {}),
        (8, {"no-study": 1}),
        (5, {"needs-confirmation": 1, "not-yet-measured": 2}),
        (4, {"sex": 1}),
        (3, {"exclusion-bone-metastasis": 1}),
        (2, {"no-t-score": 1}),
    ]
    assert flow["events"] == 1
    (event,) = [row for row in rows_of(out) if row["event"] == "1"]
    assert (event["vbq"], event["t_score"], event["follow_up"]) == ("4.8", "-3.1", "4")
    text = out.read_text() + json.dumps(flow)
    assert "secret" not in text
    assert "2016-" not in text
    assert not list(place.glob("cohort-*")), "what was read is gone"


def test_an_export_gives_the_same_cohort_as_searches(server: BulkServer, place: Path) -> None:
    searched = flow_of(server, "--out", place / "a.csv")
    server.offers = ("$export",)
    server.files = {
        f"{kind}.ndjson": ("output", kind, ndjson(*[row for row in server.rows if row["resourceType"] == kind]))
        for kind in ("Patient", "ImagingStudy", "Observation", "Condition")
    }
    exported = flow_of(server, "--out", place / "b.csv")
    assert (place / "a.csv").read_bytes() == (place / "b.csv").read_bytes()
    assert searched["steps"] == exported["steps"]
    assert server.deleted == 1


def test_what_the_store_measured_counts_before_what_the_server_has(server: BulkServer, place: Path) -> None:
    database = Database(f"sqlite:///{place / 'vbq.sqlite3'}")
    database.migrate()
    acquired = Acquisition(study_date=DAY, field_strength_t=3.0, manufacturer="Synthetic", model_name="Two")
    measured = Measurement(status="measured", vbq=4.4, algorithm="x 1", study_uid="2.25.1", acquisition=acquired)
    with database.write() as connection:
        for name in ("secret-free", "unmeasured"):
            subject = f"hapi/ImagingStudy/s-{name}"
            Results(database).store_measurement(connection, subject, 1, f"Patient/{name}", measured)
    database.close()
    flow = flow_of(server, "--out", place / "c.csv")
    assert flow["steps"][2]["n"] == 6
    rows = [row for row in rows_of(place / "c.csv") if row["vbq"] == "4.4"]
    assert {(row["field_strength"], row["scanner"]) for row in rows} == {("3", "Synthetic Two")}


def test_what_cannot_be_read_is_counted_and_stops_nothing(server: BulkServer, place: Path) -> None:
    server.rows += [
        {"resourceType": "Observation", "id": "odd", "subject": {"reference": "Patient/secret-free"}},
        {"resourceType": "Condition", "id": "about-nobody"},
        {**score("secret-free", 4.0), "id": "odd-2", "valueQuantity": {"value": "high"}},
        {"resourceType": "Patient"},
    ]
    flow = flow_of(server, "--out", place / "c.csv")
    assert flow["steps"][0]["n"] == 9
    assert any(text.startswith("4 resources of the server cannot be read") for text in flow["notes"])


def test_both_ways_of_naming_a_server_at_once_are_wrong_usage(place: Path) -> None:
    assert run("--out", place / "c.csv", "--fhir", "http://127.0.0.1:1/fhir", "--sender", "x").exit_code == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"code": None},
        {"code": {"coding": None}},
        {"code": {"coding": [None, {"system": "x"}]}},
        {"valueQuantity": None},
        {"valueQuantity": {"value": -1}},
        {"valueQuantity": {"value": 1e9}},
        {"valueQuantity": {"value": "4"}},
        {"derivedFrom": None},
        {"derivedFrom": [{"reference": "Patient/x"}, 7]},
        {"derivedFrom": [{"reference": None}]},
        {"status": "entered-in-error"},
        {"status": None},
    ],
)
def test_what_is_no_vbq_of_ours_is_none(changes: Json) -> None:
    assert vbq_measurement(score("p", 4.1)) is not None
    assert vbq_measurement(score("p", 4.1, **changes)) is None
