"""`vbq cohort build` over a store full of synthetic women, and the report that draws who fell out where."""

import csv
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands.cohort import check, report
from commands.cohort_build import build_
from gateways.records.cohort_source import CohortSource
from gateways.records.facts import Facts, StoredResource
from gateways.records.results import Results
from gateways.store.database import Database
from schemas.measurement import Acquisition, Measurement
from tests import records
from tests.databases import with_tables
from vbq.cohort.errors import UnusableCohort

Json = dict[str, Any]
STUDY = dt.date(2016, 3, 1)
MET, OLD, FRACTURE = "94222008", "2015-06-01", "42942008"


def condition(name: str, code: str, day: str | None) -> Json:
    coding = {"coding": [{"system": records.SNOMED, "code": code}]}
    dated = {"onsetDateTime": day} if day else {}
    return {"resourceType": "Condition", "id": name, "subject": {"reference": "Patient/x"}, "code": coding, **dated}


@dataclass
class Store:
    """Writes what the workers would write."""

    database: Database
    events: int = 0
    names: list[str] = field(default_factory=list)

    def woman(
        self,
        name: str,
        *more: Json,
        status: str | None = "measured",
        t_score: float | None = -2.9,
        last: str | None = "2023-03-02",
        vbq: float = 4.1,
        **person: Any,
    ) -> None:
        """A woman of the cohort; each argument spoils one thing."""
        self.names.append(name)
        rows: list[Json] = [records.patient(name, **{"birthDate": "1948-05-01", **person}), *more]
        if t_score is not None:
            rows.append(records.t_score(name, t_score, date="2016-02-01"))
        if last is not None:
            rows.append(records.observation(f"w-{name}", name, records.WEIGHT, 61.0, "kg", date=last))
        study = records.imaging_study(name, started=STUDY.isoformat())
        for row in rows:
            self.put(name, row)
        if status is not None:
            self.put(name, study)
        if status not in (None, "waiting"):
            self.measure(name, status, vbq)

    def put(self, name: str, row: Json) -> None:
        self.events += 1
        stored = StoredResource(
            source="engine",
            resource_type=row["resourceType"],
            resource_id=row["id"],
            patient=f"Patient/{name}",
            version="1",
            last_updated=None,
            event=self.events,
            deleted=False,
            interest="study" if row["resourceType"] == "ImagingStudy" else None,
            body=json.dumps(row).encode(),
        )
        with self.database.write() as connection:
            Facts(self.database).put(connection, stored)

    def measure(self, name: str, status: str, vbq: float) -> None:
        what = Measurement.model_validate(
            {
                "status": status,
                "vbq": vbq if status == "measured" else None,
                "algorithm": "x 1",
                "study_uid": "2.25.1",
                "acquisition": Acquisition(
                    study_date=STUDY.isoformat(), field_strength_t=1.5, manufacturer="Synthetic", model_name="One"
                ),
            }
        )
        with self.database.write() as connection:
            subject = f"engine/ImagingStudy/s-{name}"
            Results(self.database).store_measurement(connection, subject, 1, f"Patient/{name}", what)


def fill(store: Store) -> None:
    """One woman for every way through the flow."""
    store.woman("secret-event", condition("f1", FRACTURE, "2020-03-01"), vbq=4.8, t_score=-3.1)
    store.woman("secret-free", condition("f2", FRACTURE, OLD), vbq=3.9, t_score=-1.9)
    store.woman("secret-dead-since", deceasedBoolean=True, vbq=4.4)
    store.woman("secret-ill-since", condition("m2", MET, "2021-01-01"), vbq=4.5)
    store.woman("no-study", status=None)
    store.woman("waiting", status="waiting")
    store.woman("no-regions", status="needs_regions")
    store.woman("man", gender="male")
    store.woman("young", birthDate="1975-01-01")
    store.woman("metastasis", condition("m1", MET, OLD))
    store.woman("no-t", t_score=None)
    store.woman("t-too-late", records.t_score("t-too-late", -2.0, name="late", date="2017-02-01"), t_score=None)
    store.woman("never-seen-again", last=None)
    store.woman("seen-for-four-years", last="2020-03-01")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    database = with_tables(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VBQ_DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield Store(database)
    database.close()


def run(command: Any, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


def flow_of(*args: object) -> Any:
    done = run(build_, *args, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everybody_falls_out_where_the_paper_says_and_the_rest_are_rows(site: Store, tmp_path: Path) -> None:
    fill(site)
    out = tmp_path / "c.csv"
    flow = flow_of("--out", out)
    assert [(step["n"], {row["code"]: row["n"] for row in step["left_out"]}) for step in flow["steps"]] == [
        (14, {}),
        (13, {"no-study": 1}),
        (11, {"needs-regions": 1, "not-yet-measured": 1}),
        (9, {"no-menopause": 1, "sex": 1}),
        (8, {"exclusion-bone-metastasis": 1}),
        (6, {"no-t-score": 2}),
        (5, {"no-outcome": 1}),
        (4, {"short": 1}),
    ]
    assert flow["events"] == 1
    rows = rows_of(out)
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    (event,) = [row for row in rows if row["event"] == "1"]
    assert (event["vbq"], event["t_score"], event["age"], event["follow_up"]) == ("4.8", "-3.1", "67", "4")
    assert event["history_vf"] == ""
    assert event["weight"] == ""  # hers was taken seven years later
    (earlier,) = [row for row in rows if row["history_vf"] == "1"]
    assert (earlier["vbq"], earlier["dxa_category"], earlier["follow_up"]) == ("3.9", "osteoporosis", "7")
    assert (earlier["field_strength"], earlier["scanner"]) == ("1.5", "Synthetic One")
    assert flow["missing"]["weight"] == 4


def test_neither_the_file_nor_the_flow_names_anybody(site: Store, tmp_path: Path) -> None:
    fill(site)
    out, flow = tmp_path / "c.csv", tmp_path / "flow.json"
    done = run(build_, "--out", out, "--flow", flow)
    assert done.exit_code == 0
    for text in (out.read_text(), flow.read_text(), done.output):
        assert not [name for name in site.names if f"Patient/{name}" in text or "secret" in text]
        assert "2016-" not in text


def test_a_fracture_found_at_the_baseline_is_an_earlier_one(site: Store, tmp_path: Path) -> None:
    site.woman("p", condition("f", FRACTURE, "2016-03-20"))
    out = tmp_path / "c.csv"
    assert flow_of("--out", out)["events"] == 0
    assert rows_of(out)[0]["history_vf"] == "1"
    assert flow_of("--out", out, "--baseline-days", 0)["events"] == 1
    assert rows_of(out)[0]["history_vf"] == ""


def test_the_baseline_ends_with_its_day(site: Store, tmp_path: Path) -> None:
    moments = (("2016-03-01T16:00:00Z", 61.0), ("2016-03-02", 75.0), ("2016-03-02T00:30:00Z", 77.0))
    weights = [
        records.observation(f"w{n}", "p", records.WEIGHT, kg, "kg", date=at) for n, (at, kg) in enumerate(moments)
    ]
    site.woman("p", condition("m", MET, "2016-03-02"), *weights)
    out = tmp_path / "c.csv"
    assert flow_of("--out", out, "--baseline-days", 0)["steps"][-1]["n"] == 1
    assert rows_of(out)[0]["weight"] == "61"
    assert flow_of("--out", out, "--baseline-days", 1)["steps"][-1]["n"] == 0


def test_an_unrecorded_history_is_no_only_where_that_is_asked_for(site: Store, tmp_path: Path) -> None:
    site.woman("p")
    out = tmp_path / "c.csv"
    assert flow_of("--out", out)["missing"]["history_vf"] == 1
    assert flow_of("--out", out, "--unrecorded-history-is-no")["missing"]["history_vf"] == 0
    assert rows_of(out)[0]["history_vf"] == "0"


def test_outcomes_of_a_file_count_in_place_of_the_record(site: Store, tmp_path: Path) -> None:
    fill(site)
    outcomes, out = tmp_path / "o.csv", tmp_path / "c.csv"
    outcomes.write_text("patient,event,years\nPatient/secret-free,1,6.25\nPatient/secret-event,0,4.5\nPatient/x,1,6\n")
    flow = flow_of("--out", out, "--outcomes", outcomes)
    assert [(row["event"], row["follow_up"]) for row in rows_of(out)] == [("1", "6.25")]
    assert {row["code"]: row["n"] for step in flow["steps"][6:] for row in step["left_out"]} == {
        "no-outcome": 4,
        "short": 1,
    }
    assert any("1 lines of the file of outcomes name patients" in text for text in flow["notes"])
    assert flow_of("--out", out, "--outcomes", outcomes, "--minimum-years", 0)["steps"][-1]["n"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,event\nPatient/secret,1\n", "no column follow_up"),
        ("patient,event,follow_up\nPatient/secret,1,6\nPatient/secret,0,6\n", "line 3: this patient"),
        ("patient,event,follow_up\nPatient/secret,1,0\n", "line 2: patient, event"),
        ("patient,event,follow_up\nPatient/secret,2,6\n", "line 2: patient, event"),
    ],
)
def test_a_wrong_file_of_outcomes_is_refused_by_line(site: Store, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "o.csv").write_text(text)
    refused = run(build_, "--out", tmp_path / "c.csv", "--outcomes", tmp_path / "o.csv").exception
    assert isinstance(refused, UnusableCohort)
    assert words in refused.detail
    assert "secret" not in refused.detail


def test_without_a_store_there_is_nothing_to_build_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DATABASE_URL", f"sqlite:///{tmp_path / 'none.sqlite3'}")
    refused = run(build_, "--out", tmp_path / "c.csv").exception
    assert isinstance(refused, UnusableCohort)
    assert not (tmp_path / "none.sqlite3").exists()
    assert not (tmp_path / "c.csv").exists()


def test_what_was_built_passes_the_check_and_its_report_draws_the_flow(site: Store, tmp_path: Path) -> None:
    fill(site)
    for number in range(40):
        fracture = [condition(f"n{number}", FRACTURE, "2019-01-01")] if number % 3 else []
        site.woman(f"n{number}", *fracture, vbq=3.4 + (number * 7 % 40) / 20, t_score=-4 + (number * 11 % 40) / 12)
    out, flow = tmp_path / "c.csv", tmp_path / "flow.json"
    assert run(build_, "--out", out, "--flow", flow).exit_code == 0
    assert json.loads(run(check, out, "--json").stdout)["ok"] is True
    done = run(report, out, "--flow", flow, "--out", tmp_path / "r", "--bootstrap", 0)
    assert done.exit_code == 0, (done.output, done.exception)
    page = (tmp_path / "r" / "report.html").read_text()
    assert "1 no lumbar MR study" in page
    assert "patients in the store: 54" in page
    document = json.loads((tmp_path / "r" / "report.json").read_text())
    assert document["built"]["steps"][-1]["n"] == document["n"] == 44

    out.write_text(out.read_text().replace("Synthetic", "Other"))
    changed = run(report, out, "--flow", flow, "--out", tmp_path / "r", "--bootstrap", 0)
    assert "was changed after" in changed.stderr
    out.write_text("\n".join(out.read_text().splitlines()[:-1]) + "\n")
    refused = run(report, out, "--flow", flow, "--out", tmp_path / "r", "--bootstrap", 0).exception
    assert isinstance(refused, UnusableCohort)
    assert "44 people" in refused.detail


def test_a_deleted_record_and_a_deleted_study_do_not_count(site: Store, tmp_path: Path) -> None:
    site.woman("gone")
    site.woman("taken-back")
    for kind, name, patient in (("Patient", "gone", "gone"), ("ImagingStudy", "s-taken-back", "taken-back")):
        site.events += 1
        row = StoredResource(
            "engine", kind, name, f"Patient/{patient}", "2", None, site.events, deleted=True, interest=None, body=b""
        )
        with site.database.write() as connection:
            Facts(site.database).put(connection, row)
    steps = flow_of("--out", tmp_path / "c.csv")["steps"]
    assert {row["code"]: row["n"] for row in steps[1]["left_out"]} == {"no-record": 1, "no-study": 1}


def test_both_databases_give_the_same_people(database: Database) -> None:
    store = Store(database)
    fill(store)
    found = list(CohortSource(database).patients())
    assert [one.patient for one in found] == sorted(f"Patient/{name}" for name in store.names)
    (event,) = [one for one in found if one.patient == "Patient/secret-event"]
    assert {row.resource_type for row in event.rows} == {"Patient", "Condition", "Observation", "ImagingStudy"}
    assert [row.vbq for row in event.measurements.values()] == [4.8]
