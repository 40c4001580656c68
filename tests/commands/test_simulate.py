"""`vbq simulate study` and `vbq simulate patient` as a user calls them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands.simulate_patient import simulate_patient
from commands.simulate_study import simulate_study
from schemas.errors import NotAcceptable
from schemas.measurement import RegionSet

SMALL = ["--matrix", "224", "--slices", "5", "--no-distractors"]


def make_study(*arguments: str | Path) -> Result:
    return CliRunner().invoke(simulate_study, [*SMALL, *map(str, arguments)])


def make_patient(*arguments: str | Path) -> Result:
    return CliRunner().invoke(simulate_patient, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("phantom") / "study"
    assert make_study("--vbq", "3.2", "--seed", "5", "--out", place).exit_code == 0
    return place


def test_a_study_comes_with_regions_and_truth(study: Path) -> None:
    truth = json.loads((study / "truth.json").read_text())
    regions = RegionSet.model_validate_json((study / "regions.json").read_text())
    assert truth["vbq"] == pytest.approx(3.2, rel=0.01)
    assert truth["slice"]["sop_instance_uid"] == regions.sop_instance_uid
    assert set(regions.levels) == {"L1", "L2", "L3", "L4"}
    assert set(regions.csf) == {"L1", "L2", "L3"}
    assert len(list(study.glob("*/*.dcm"))) == 5


def test_the_same_call_gives_the_same_bytes(study: Path, tmp_path: Path) -> None:
    make_study("--vbq", "3.2", "--seed", "5", "--out", tmp_path / "again")
    for path in study.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(study)).read_bytes()


def test_json_on_stdout_is_the_truth(tmp_path: Path) -> None:
    result = make_study("--seed", "6", "--out", tmp_path / "s", "--no-regions", "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "s" / "truth.json").read_text())
    assert not (tmp_path / "s" / "regions.json").exists()


def test_a_second_phantom_in_the_same_folder_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    make_study("--out", tmp_path / "s", "--slices", "7")
    make_study("--out", tmp_path / "s", "--slices", "6", "--no-regions")
    assert len(list((tmp_path / "s").glob("*/*.dcm"))) == 6
    assert not (tmp_path / "s" / "regions.json").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    result = make_study("--out", tmp_path)
    assert isinstance(result.exception, NotAcceptable)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--fracture", "L9"),
        ("--fracture", "L2:2.0"),
        ("--fracture", "L2:0.3:smashed"),
        ("--fracture", "L2:0.3:wedge:old"),
        ("--modic", "L3"),
        ("--modic", "L3/L4:5"),
        ("--metal", "S1"),
        ("--part", "elbow"),
        ("--view-up-mm", "500"),
        ("--vbq", "0"),
        ("--matrix", "128", "--pixel-mm", "0.5"),
        ("--patient-id", "a b"),
    ],
)
def test_wrong_usage_is_said_and_writes_nothing(wrong: tuple[str, ...], tmp_path: Path) -> None:
    result = make_study(*wrong, "--out", tmp_path / "s")
    assert result.exit_code == 2
    assert result.stderr
    assert not (tmp_path / "s").exists()


def test_conditions_are_asked_for_by_name_and_kept_in_the_truth(tmp_path: Path) -> None:
    asked = ("--metal", "L3", "--metal", "L4", "--modic", "L1/L2:1", "--variant", "sacralised-l5", "--slices", "1")
    assert make_study(*asked, "--fracture", "T12:0.3:wedge:acute", "--out", tmp_path / "s").exit_code == 0
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    assert truth["parameters"]["conditions"]["metal"] == ["L3", "L4"]
    assert truth["parameters"]["conditions"]["modic"] == [{"disc": "L1/L2", "type": 1}]
    assert truth["parameters"]["fractures"][0]["acute"] is True
    assert "L3" not in truth["levels"]
    assert "L3" in truth["bodies"]


def test_a_study_without_a_vbq_says_so(tmp_path: Path) -> None:
    result = make_study(
        "--sequence", "t2", "--slices", "1", "--matrix", "128", "--pixel-mm", "2", "--out", tmp_path / "s"
    )
    assert result.exit_code == 0
    assert "no VBQ" in result.stderr
    assert json.loads((tmp_path / "s" / "truth.json").read_text())["vbq"] is None


def test_a_patient_fits_the_study(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    assert make_patient("--study", study, "--patient-id", "p1", "--t-score", "-2.9", "--out", out).exit_code == 0
    entries = [entry["resource"] for entry in json.loads(out.read_text())["entry"]]
    patient, imaging = entries[0], entries[1]
    truth = json.loads((study / "truth.json").read_text())
    assert patient["identifier"][0]["value"] == truth["patient_id"]
    assert imaging["identifier"][0]["value"] == f"urn:oid:{truth['study_uid']}"
    assert imaging["contained"][0]["address"] == study.resolve().as_uri()
    assert imaging["numberOfInstances"] == 5
    scores = [row["valueQuantity"]["value"] for row in entries if row["id"] == "p1-t-score"]
    assert scores == [-2.9]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--set", "weight=heavy"),
        ("--set", "shoe-size=41"),
        ("--without", "everything"),
        ("--condition", "12345"),
        ("--patient-id", "p 1"),
    ],
)
def test_a_patient_that_cannot_be_is_wrong_usage(wrong: tuple[str, ...], study: Path, tmp_path: Path) -> None:
    result = make_patient("--study", study, "--out", tmp_path / "p.json", *wrong)
    assert result.exit_code == 2
    assert not (tmp_path / "p.json").exists()


def test_a_folder_without_images_has_no_patient(tmp_path: Path) -> None:
    result = make_patient("--study", tmp_path, "--out", tmp_path / "p.json")
    assert isinstance(result.exception, NotAcceptable)


def test_a_real_study_gets_a_patient_too(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    result = make_patient("--study", shared / "data" / "mri" / "study-a", "--out", out, "--as-of", "2025-01-01")
    assert result.exit_code == 0
    imaging = json.loads(out.read_text())["entry"][1]["resource"]
    assert imaging["numberOfSeries"] == 3
    assert "started" not in imaging, "the headers state no date"
