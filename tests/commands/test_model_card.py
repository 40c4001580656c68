"""`vbq model card | diff | evidence | schema`: what a model's file says, to people and to programs."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from commands.model_card import card_, diff_, evidence_, schema_, schema_text
from commands.model_fit import fit
from schemas.model import ModelArtefact, json_schema
from tests.registries import own_model, stronger
from vbq.monitor.drift import training_reference
from vbq.risk.artefact import canonical, parse
from vbq.risk.card.tripod import items
from vbq.risk.published import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("VBQ_CONFIG", raising=False)


def run(command: Any, *args: object) -> Result:
    done = CliRunner().invoke(command, [str(arg) for arg in args])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic cohort with events at known times."""
    import numpy as np

    rng = np.random.default_rng(11)
    n = 300
    vbq, t = rng.normal(4.26, 0.73, n), rng.normal(-2.48, 1.6, n)
    when = rng.exponential(14 / np.exp(0.63 * (vbq - 4.26) - 0.27 * (t + 2.48)))
    censored = rng.uniform(3.0, 9.0, n)
    path = tmp_path_factory.mktemp("cohort") / "made-up.csv"
    columns = zip(vbq, t, (when <= censored).astype(int), np.minimum(when, censored), strict=True)
    rows = ["vbq,t_score,event,follow_up", *(",".join(f"{value:.6g}" for value in row) for row in columns)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def fitted(cohort: Path, tmp_path: Path) -> Path:
    out = tmp_path / "own.json"
    args = ("--time", "follow_up", "--event", "event", "--covariates", "vbq,t_score", "--exact-times", "--id", "own")
    run(fit, cohort, *args, "--out", out)
    return out


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]


def test_the_schema_in_docs_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "model.schema.json").read_text() == schema_text()
    assert run(schema_).stdout == schema_text()


def test_models_are_what_the_schema_says_and_what_is_not_one_is_refused_by_it() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    check = jsonschema.Draft202012Validator(json_schema())
    document = build().model_dump(mode="json")
    assert check.is_valid(document)
    for path, value in (("version", "1"), ("kind", "forest"), ("covariates", []), ("horizon", 0), ("strange", 1)):
        assert not check.is_valid({**document, path: value}), path
    for name in ("id", "covariance", "baseline", "caution"):
        assert not check.is_valid({key: value for key, value in document.items() if key != name}), name


def test_the_card_of_a_shipped_model_stands_alone(tmp_path: Path) -> None:
    run(card_, "lin2025-vbq-t", "--out", tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert page.addresses == []
    assert "url(" not in text
    assert len(set(re.findall(r'<th scope="row">(\d\.[iv]+)</th>', text))) == 31
    assert "active at this site" in text
    assert "Research use" in text
    for number in (row.number for row in items(build())):
        assert f"<td>{number}</td>" in text


def test_tripod_items_are_filled_from_the_file_and_what_it_does_not_know_is_not_made_up() -> None:
    found = {row.number: row for row in items(build())}
    assert len(found) == 52
    assert found["20a"].value == "137 people, 54 with the event"
    assert "not fitted to data" in (found["12c"].value or "")
    assert found["17"].value is None
    assert found["24"].value is None


def test_evidence_puts_curves_and_distributions_into_the_file(fitted: Path, cohort: Path, tmp_path: Path) -> None:
    before = parse(fitted.read_bytes())
    run(evidence_, fitted, "--data", cohort, "--bootstrap", "40", "--horizon", "5")
    model = parse(fitted.read_bytes())
    assert canonical(model) == fitted.read_bytes()
    assert model.but(validation={}, source_attributes=[]) == before.but(validation={}, source_attributes=[])
    assert 0.6 < float(str(model.validation["internal.roc.auc"])) < 0.9
    predicted = model.validation["internal.calibration.predicted"]
    assert isinstance(predicted, list)
    assert predicted == sorted(predicted)
    reference = training_reference(model, "vbq")
    assert reference is not None
    assert reference.source == "training data"
    assert sum(reference.shares) == pytest.approx(1.0)
    assert training_reference(model, "risk") is not None
    run(card_, fitted, "--out", tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text()
    assert "Validation in pictures" in text
    assert "In the training data: ROC, AUC" in text
    assert "internal.calibration.predicted" not in text, "curves are drawn, not printed"
    attribute = next(row for row in model.source_attributes if row.number == "7.i")
    assert "made-up.csv: 300 people" in (attribute.value or "")


def test_external_evidence_stands_beside_the_internal(fitted: Path, cohort: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    lines = cohort.read_text().splitlines()
    other.write_text("\n".join([lines[0], *lines[100:]]) + "\n")
    run(evidence_, fitted, "--data", cohort, "--bootstrap", "40", "--horizon", "5")
    run(evidence_, fitted, "--data", other, "--bootstrap", "40", "--horizon", "5")
    model = parse(fitted.read_bytes())
    assert {"internal.roc.auc", "external.roc.auc"} <= model.validation.keys()
    assert model.validation["external.n"] == 201.0


def test_the_difference_of_two_models_is_in_fields_ratios_and_risks(tmp_path: Path) -> None:
    for version, factor in (("1.0.0", 1.0), ("1.1.0", 2.0)):
        model: ModelArtefact = stronger(own_model(version), factor)
        (tmp_path / f"{version}.json").write_bytes(canonical(model))
    found = json.loads(run(diff_, tmp_path / "1.0.0.json", tmp_path / "1.1.0.json", "--json").stdout)
    assert found["fields"] == {"version": {"old": "1.0.0", "new": "1.1.0"}}
    assert found["covariates"] == {"added": [], "removed": [], "changed": {}}
    assert not found["baseline"]["same"]
    assert len(found["risks"]) == 9
    for row in found["risks"]:
        assert row["new"] == pytest.approx(1 - (1 - row["old"]) ** 2)
    text = run(diff_, "lin2025-vbq-t", tmp_path / "1.0.0.json").stdout
    assert "id: lin2025-vbq-t -> our-own" in text
    assert "the same" in run(diff_, "lin2025-vbq-t", "lin2025-vbq-t").stdout


def test_a_changed_coefficient_is_said_in_standard_errors(tmp_path: Path) -> None:
    model = own_model()
    first = model.covariates[0]
    moved = first.but(coefficient=first.coefficient + 2 * (first.standard_error or 0.0))
    (tmp_path / "a.json").write_bytes(canonical(model))
    (tmp_path / "b.json").write_bytes(canonical(model.but(covariates=[moved, model.covariates[1]])))
    found = json.loads(run(diff_, tmp_path / "a.json", tmp_path / "b.json", "--json").stdout)
    assert found["covariates"]["changed"]["vbq"]["change_in_se"] == pytest.approx(2.0)
    assert found["covariates"]["changed"]["vbq"]["hazard_ratio"]["old"] == pytest.approx(1.87, abs=0.01)
