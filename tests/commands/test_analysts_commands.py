"""`vbq cohort ...` and `vbq model fit | predict | validate` from outside."""

import csv
import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from commands.cohort import check, report
from commands.model_fit import fit, predict, validate
from schemas.errors import VbqError

GOLDEN = Path(__file__).parents[1] / "golden" / "reference_r"
COLUMNS = "age,edema,bili,albumin,protime,stage"


def call(command: click.Command, *arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def pbc_model(tmp_path: Path) -> Path:
    out = tmp_path / "pbc.json"
    done = call(fit, GOLDEN / "pbc.csv", "--time", "time", "--event", "status", "--covariates", COLUMNS, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_fit_prints_one_json_document_with_the_agreed_keys(tmp_path: Path) -> None:
    options = ("--time", "time", "--event", "status", "--covariates", COLUMNS, "--ties", "breslow", "--json")
    done = call(fit, GOLDEN / "pbc.csv", *options, "--out", tmp_path / "m.json")
    document = json.loads(done.stdout)
    assert {"coefficients", "concordance", "n", "events", "ph_test", "warnings"} <= set(document)
    assert document["coefficients"]["age"]["coef"] == pytest.approx(0.031624368503957, rel=1e-9)
    assert "GLOBAL" in document["ph_test"]


def test_predict_writes_what_r_predicts(tmp_path: Path, pbc_model: Path) -> None:
    out = tmp_path / "p.csv"
    done = call(predict, pbc_model, "--data", GOLDEN / "pbc.csv", "--times", "1095.5,1713.5,2613.5", "--out", out)
    assert done.exit_code == 0, done.output
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["row", "time", "survival", "lower", "upper"]
    first = [float(row["survival"]) for row in rows if row["row"] == "1"]
    np.testing.assert_allclose(first, [0.933546125351671, 0.876535014484901, 0.78970075485181], rtol=1e-9)


def test_validate_prints_apparent_and_corrected(pbc_model: Path) -> None:
    done = call(validate, pbc_model, "--data", GOLDEN / "pbc.csv", "--bootstrap", 40, "--json")
    document = json.loads(done.stdout)
    for name in ("concordance", "slope", "brier"):
        assert {"apparent", "corrected"} <= set(document[name])
    assert document["concordance"]["corrected"] < document["concordance"]["apparent"]


def test_validate_writes_its_figures_into_a_folder(tmp_path: Path, pbc_model: Path) -> None:
    out = tmp_path / "new" / "v"
    done = call(validate, pbc_model, "--data", GOLDEN / "pbc.csv", "--bootstrap", 20, "--json", "--out", out)
    assert json.loads(done.stdout) == json.loads((out / "validation.json").read_text())
    page = (out / "validation.html").read_text()
    assert page.count("<svg") == 4
    refused = call(validate, pbc_model, "--data", GOLDEN / "pbc.csv", "--bootstrap", 20, "--out", pbc_model / "v")
    assert refused.exit_code == 1


def test_wrong_usage_and_refusals_are_told_apart(tmp_path: Path, pbc_model: Path) -> None:
    assert call(predict, pbc_model, "--data", GOLDEN / "pbc.csv", "--times", "soon", "--out", "x").exit_code == 2
    assert call(fit, tmp_path / "nothing.csv").exit_code == 2
    beyond = call(predict, pbc_model, "--data", GOLDEN / "pbc.csv", "--times", "1e6", "--out", tmp_path / "x.csv")
    assert isinstance(beyond.exception, VbqError)
    nowhere = tmp_path / "none" / "m.json"
    arguments = ("--time", "time", "--event", "status", "--covariates", COLUMNS, "--out", nowhere)
    assert call(fit, GOLDEN / "pbc.csv", *arguments).exit_code == 1


def test_check_and_report_of_a_made_up_cohort(tmp_path: Path) -> None:
    file = tmp_path / "cohort.csv"
    rng = np.random.default_rng(5)
    rows = [
        f"{i},{rng.normal(4.3, 0.7):.2f},{rng.normal(-2.5, 1.5):.1f},{i % 3 == 0:d},{5 + rng.random():.2f}"
        for i in range(90)
    ]
    file.write_text("\n".join(["id,vbq,t_score,event,follow_up", *rows]))
    checked = call(check, file, "--json")
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["ok"] is True
    done = call(report, file, "--out", tmp_path / "out", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"n", "events", "table1", "correlation", "roc", "cox", "warnings"} <= set(document)
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_a_broken_file_fails_the_check_with_one_json_document(tmp_path: Path) -> None:
    file = tmp_path / "cohort.csv"
    file.write_text("id,event\n1,0,3\n")
    done = CliRunner().invoke(check, [str(file), "--json"], standalone_mode=False)
    assert done.return_value == 1
    assert json.loads(done.stdout)["ok"] is False


def test_a_map_and_decimal_commas_give_the_model_of_the_plain_file(tmp_path: Path) -> None:
    with (GOLDEN / "lung.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    place = header.index("status")
    theirs, words = tmp_path / "theirs.csv", {"0": "alive", "1": "dead"}
    cells = [[words[v] if j == place else v.replace(".", ",") for j, v in enumerate(row)] for row in rows]
    theirs.write_text("\n".join(";".join(row) for row in [["dead" if h == "status" else h for h in header], *cells]))
    rules = tmp_path / "map.yaml"
    rules.write_text("columns: {dead: {to: status, values: {dead: 1, alive: 0}}}")
    options = ("--time", "time", "--event", "status", "--covariates", "age,sex", "--json", "--out", tmp_path / "m.json")
    plain = call(fit, GOLDEN / "lung.csv", *options)
    mapped = call(fit, theirs, *options, "--decimal", "comma", "--map", rules)
    assert mapped.exit_code == 0, mapped.output
    assert json.loads(mapped.stdout)["coefficients"] == json.loads(plain.stdout)["coefficients"]
