"""`vbq model monitor | recalibrate | shadow-report` over a store full of synthetic women."""

import csv
import datetime as dt
import json
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands.key_files import make_key
from commands.model_monitor import monitor_
from commands.model_recalibrate import recalibrate_
from commands.model_shadow_report import shadow_report_
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.registry.shadows import Shadows, beside
from gateways.settings import load_settings
from gateways.store.database import Database
from schemas.clinical import Coding, ObservedQuantity, PatientFacts, Person
from schemas.codes import LOINC
from schemas.config import MergePolicy
from schemas.errors import ModelRefused
from schemas.measurement import Acquisition, Measurement
from schemas.model import TrustedKey
from services.model_metrics import ModelGauges, gauges
from tests.registries import Registrar, SiteKeys, own_model, stronger
from vbq.assess import assess
from vbq.risk.artefact import digest, parse
from vbq.risk.signature import open_model, public_text

WOMEN = 240
NOW = dt.datetime(2026, 5, 1, 10, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SiteKeys]:
    """A site with assessments of synthetic women whose images are six years old, a shadow model beside them."""
    folder = tmp_path_factory.mktemp("site")
    keys = SiteKeys(folder)
    database = Database(keys.settings.database)
    database.migrate()
    registrar = Registrar(keys, database)
    registrar.add(stronger(own_model(), 1.5))
    registrar.record("shadow", "our-own")
    models, results, shadows = registrar.models, Results(database), Shadows(database)
    active, shadow = models.active(), models.shadow()
    assert shadow is not None
    dice = random.Random(7)
    with database.write() as connection:
        for number in range(WOMEN):
            args = woman(dice, number)
            made = assess(model=active.artefact, digest=active.digest, **args)
            results.store(connection, made, [])
            shadows.store(connection, beside(made, assess(model=shadow.artefact, digest=shadow.digest, **args)))
    outcomes(folder / "outcomes.csv", database, models, dice)
    database.close()
    return folder, keys


def woman(dice: random.Random, number: int) -> dict[str, Any]:
    vbq, t = dice.gauss(4.26, 0.73), dice.gauss(-2.48, 1.2)
    score = ObservedQuantity(
        reference=f"Observation/t{number}",
        status="final",
        codings=[Coding(system=LOINC, code="38267-1")],
        value=t,
        unit="{T-score}",
        effective=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        effective_text="2020-01-01",
    )
    person = Person(reference=f"Patient/secret{number}", gender="female", birth_date=dt.date(1945, 1, 1))
    taken = dt.date(2020, 2, 1) + dt.timedelta(days=number % 120)
    scanner = Acquisition(
        study_date=taken.isoformat(), field_strength_t=3.0 if number % 4 == 0 else 1.5, manufacturer="Synthetic"
    )
    return {
        "patient": f"Patient/secret{number}",
        "study": f"ImagingStudy/s{number}",
        "facts": PatientFacts(person=person, observations=[score] if number % 10 else []),
        "measurement": Measurement(
            status="measured",
            vbq=vbq,
            interval=(vbq - 0.1, vbq + 0.1),
            method="reader",
            algorithm="x 1",
            study_uid="2.25.1",
            acquisition=scanner,
        ),
        "policy": MergePolicy(),
        "as_of": NOW,
        "previous": None,
        "software": "vbq-cds test",
    }


def outcomes(path: Path, database: Database, models: Models, dice: random.Random) -> None:
    """Twice the hazard that the model expects."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["patient", "event", "date"])
        for number in range(WOMEN):
            found = Results(database).current(f"Patient/secret{number}")
            if found is not None and found.risk is not None:
                chance = 1 - (1 - found.risk.risk) ** 2
                taken = dt.date(2020, 2, 1) + dt.timedelta(days=number % 120)
                event = int(dice.random() < chance)
                rows.writerow([found.patient, event, taken + dt.timedelta(days=1826)])


def plain_cohort(path: Path, n: int) -> None:
    """Synthetic women seen once, after five years or later; a third of them with a fracture."""
    dice = random.Random(3)
    rows = [
        f"{dice.gauss(4.2, 0.6):.2f},{dice.gauss(-2.4, 1):.1f},{int(dice.random() < 0.33)},{5 + 3 * dice.random():.2f}"
        for _ in range(n)
    ]
    path.write_text("\n".join(["vbq,t_score,event,follow_up", *rows]))


@pytest.fixture
def site(filled: tuple[Path, SiteKeys], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, keys = filled
    monkeypatch.setenv("VBQ_DATA_DIR", str(folder))
    monkeypatch.setenv("VBQ_CONFIG", str(keys.config))
    return folder


def run(command: Any, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


def document(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_monitoring_says_what_drifts_what_lacks_and_names_nobody(site: Path, tmp_path: Path) -> None:
    found = document(run(monitor_, "--out", tmp_path / "m", "--days", "36500", "--json"))
    assert found["n"] == WOMEN
    assert found["missing"]["t_score"] == pytest.approx(0.1)
    assert {row["name"] for row in found["by_field_strength"]} == {"1.5 T", "3 T"}
    assert found["drift"]["vbq"]["shifts"][0]["psi"] < 0.25
    assert found["calibration"] is None
    page = (tmp_path / "m" / "monitor.html").read_text()
    written = json.loads((tmp_path / "m" / "monitor.json").read_text())
    assert written == found
    assert "secret" not in page + json.dumps(written)
    assert "calibration is not known" in page
    assert {"script", "link", "img"} & Tags(page).names == set()
    assert Tags(page).links == []
    assert "<svg" in page


def test_outcomes_show_that_twice_as_many_events_come_and_raise_an_alert(site: Path, tmp_path: Path) -> None:
    args = ("--out", tmp_path, "--days", "36500", "--outcomes", site / "outcomes.csv", "--json")
    found = document(run(monitor_, *args))
    assert found["calibration"]["without_prediction"] == 0
    assert found["calibration"]["observed_to_expected"] > 1.25
    assert "calibration" in {row["code"] for row in found["alerts"]}
    assert "recalibrate" in (tmp_path / "monitor.html").read_text()
    assert run(monitor_, *args, "--fail-on-alert").exit_code == 1


def test_a_recalibrated_model_is_a_new_file_to_sign(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "local.json"
    args = ("--outcomes", site / "outcomes.csv", "--version", "1.1.0", "--out", out, "--json")
    found = document(run(recalibrate_, *args, "--intercept-only"))
    assert found["intercept"] == pytest.approx(0.693, abs=0.35)
    assert found["slope"] == 1.0
    model = parse(out.read_bytes())
    assert (model.id, model.version) == ("lin2025-vbq-t", "1.1.0")
    assert document(run(recalibrate_, *args))["slope"] != 1.0


def test_the_active_model_is_recalibrated_to_a_plain_cohort_file_and_signed_at_once(site: Path, tmp_path: Path) -> None:
    out, cohort, pem = tmp_path / "local.json", tmp_path / "cohort.csv", tmp_path / "signer.pem"
    plain_cohort(cohort, 400)
    key = make_key(pem)
    found = document(run(recalibrate_, "--data", cohort, "--version", "1.2.0", "--out", out, "--key", pem, "--json"))
    assert found["n"] == 400
    assert found["times"] == "visit"
    trusted = [TrustedKey(name="S", ed25519=public_text(key.public_key()), roles=["sign"])]
    loaded = open_model(out.read_bytes(), (tmp_path / "local.sig.json").read_bytes(), trusted)
    assert loaded.artefact.version == "1.2.0"
    assert loaded.artefact.validation["recalibration.data_digest"] == digest(cohort.read_bytes())
    said = run(recalibrate_, "--data", cohort, "--version", "1.2.0", "--out", out, "--intercept-only")
    assert "slope left at 1" in said.stdout
    assert "taken to be years" in said.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give one of --outcomes FILE and --data FILE"),
        (("--outcomes", "FILE", "--data", "FILE"), "give one of"),
        (("--data", "FILE", "--version", "1.0.0"), "is the model itself"),
        (("--data", "FILE", "--version", "new"), "must look like"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    site: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    cohort = tmp_path / "cohort.csv"
    plain_cohort(cohort, 50)
    given = ["--version", "1.1.0", *(str(cohort) if text == "FILE" else text for text in options)]
    refused = run(recalibrate_, *given, "--out", tmp_path / "x.json")
    assert refused.exit_code == 2
    assert words in refused.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,event,date\nPatient/secret1,1,yesterday\n", "line 2: the date"),
        ("patient,event,date\nPatient/secret1,2,2024-01-01\n", "line 2: patient, date and event"),
        ("patient,event,date\n" + "Patient/secret1,1,2024-01-01\n" * 2, "line 3: this patient was named before"),
        ("patient,event,date\nPatient/nobody,1,2024-01-01\n", "wait for more outcomes"),
    ],
)
def test_a_wrong_outcomes_file_is_refused_by_line_and_never_by_value(
    site: Path, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "o.csv"
    file.write_text(text)
    refused = run(recalibrate_, "--outcomes", file, "--version", "1.1.0", "--out", tmp_path / "x.json").exception
    assert isinstance(refused, ModelRefused)
    assert words in refused.detail
    assert "secret" not in refused.detail


def test_the_shadow_report_compares_both_models_and_names_nobody(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "shadow.html"
    found = document(run(shadow_report_, "--out", out, "--json"))
    assert found["n"] == WOMEN
    assert found["both"] == WOMEN * 9 // 10
    assert found["active"] == ["lin2025-vbq-t 1.0.0"]
    assert found["agreement"]["mean"] > 0.05
    assert found["other_class"] > 0
    assert found["classes"]["high"]["low"] == 0
    assert "secret" not in out.read_text() + json.dumps(found)
    assert "our-own 1.0.0" in run(shadow_report_).stdout


def test_prometheus_sees_the_model_and_the_last_run(site: Path, tmp_path: Path) -> None:
    from gateways.registry.monitoring import Monitoring

    document(run(monitor_, "--out", tmp_path, "--days", "36500", "--outcomes", site / "outcomes.csv", "--json"))
    settings = load_settings()
    database = Database(settings.database)
    found = {row.name: row for row in ModelGauges(Models(settings, database), Monitoring(database)).collect()}
    database.close()
    (info,) = found["vbq_model_info"].samples
    assert info.labels["id"] == "lin2025-vbq-t"
    assert info.value == 1.0
    assert found["vbq_monitor_observed_to_expected"].samples[0].value > 1.25
    assert {row.labels["name"] for row in found["vbq_monitor_psi"].samples} >= {"vbq", "t_score"}
    assert found["vbq_monitor_alerts"].samples[0].value >= 1


def test_every_gauge_of_a_run_is_a_number(site: Path, tmp_path: Path) -> None:
    figures = document(run(monitor_, "--out", tmp_path, "--json"))
    assert figures["n"] == WOMEN
    assert all(isinstance(sample.value, float | int) for row in gauges(1.0, figures) for sample in row.samples)
