"""The card policy is one reviewed file with a schema; a wrong one stops the start and names each place."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateways.card_policy import card_policy
from schemas.card_policy import CardPolicy
from schemas.errors import NotConfigured

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "schemas" / "card_policy.yaml"


def changed(tmp_path: Path, change: Any) -> Path:
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    change(document)
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return path


def test_the_shipped_policy_is_right_and_a_site_may_change_it(tmp_path: Path) -> None:
    assert card_policy(None).quiet_days == 90
    assert card_policy(changed(tmp_path, lambda row: row.update(quiet_days=7))).quiet_days == 7


def test_the_published_schema_is_that_of_the_records() -> None:
    published = json.loads((ROOT / "docs" / "card-policy.schema.json").read_text(encoding="utf-8"))
    assert published == CardPolicy.model_json_schema()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["show"].pop("chart"), "chart missing"),
        (lambda row: row["show"]["dxa"].update(risk_from="severe"), "show.dxa.risk_from"),
        (lambda row: row["show"]["dxa"].update(suggestions=["alendronate"]), "show.dxa.suggestions"),
        (lambda row: row["texts"]["de"].pop("summary.risk"), "texts.de: summary.risk missing"),
        (lambda row: row["texts"]["fr"].update({"summary.risk": "{risk}"}), "other placeholders"),
        (lambda row: row["texts"]["zh"].update({"topic": "<b>x</b>"}), "no HTML"),
        (lambda row: row["texts"]["zh"].update({"new": "x"}), "not known"),
        (lambda row: row.update(language="it"), "language"),
        (lambda row: row["orders"]["dxa"]["codes"].append({"system": "x", "display": "y"}), "code or prefix"),
    ],
)
def test_a_wrong_policy_names_its_place(tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(NotConfigured, match=words):
        card_policy(changed(tmp_path, change))


def test_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    for text in ("{", "- 1", "!!python/object/apply:os.system [id]"):
        path.write_text(text)
        with pytest.raises(NotConfigured):
            card_policy(path)
    with pytest.raises(NotConfigured, match="cannot be read"):
        card_policy(tmp_path / "gone.yaml")
