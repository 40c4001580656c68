"""A model that was revoked: what it said is taken back, shown to nobody meanwhile, and comes back with another one."""

from pathlib import Path
from typing import Any

import pytest

from gateways.audit.log import Audit
from gateways.registry import models as models_module
from gateways.registry.recall import recall, revive
from schemas.assessment import Assessment
from services.card_answers import CardAnswers
from tests import records
from tests.registries import Registrar, SiteKeys, own_model, stronger


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 0.0)


@pytest.fixture
def site(make_hands: Any, tmp_path: Path, small_study: Path) -> tuple[Any, Registrar]:
    """Hands at a site where our-own 1.0.0 has scored one woman."""
    keys = SiteKeys(tmp_path)
    hands = make_hands(config=keys.config)
    registrar = Registrar(keys, hands.bench.database)
    registrar.add(stronger(own_model(), 2.0))
    registrar.record("deploy", "our-own")
    hands.push(records.patient(), records.imaging_study(address=records.file_url(small_study)), records.t_score())
    hands.push(records.patient("nobody"), records.t_score("nobody"))
    hands.work()
    return hands, registrar


def current(hands: Any, name: str = "p1") -> Assessment:
    found: Assessment | None = hands.bench.results.current(f"Patient/{name}")
    assert found is not None
    return found


def test_while_no_model_may_speak_the_number_is_taken_back_and_a_new_model_brings_one(site: Any) -> None:
    hands, registrar = site
    before = current(hands)
    assert before.risk is not None
    registrar.record("revoke", "our-own")
    assert recall(hands.bench.database, before.model.digest) == 2
    hands.work()
    gone = current(hands)
    assert (gone.state, gone.risk, gone.reasons[0].code) == ("withdrawn", None, "model-revoked")
    assert before.model.id in gone.reasons[0].text
    assert current(hands, "nobody").state == "incomplete", "there was no number to take back"
    actions = [row.action for row in Audit(hands.bench.database).rows(patient="Patient/p1")]
    assert actions[:3] == ["resource-created"] * 3
    assert actions[3:] == ["result-created", "result-withdrawn", "result-superseded"]
    hands.push(records.t_score(value=-3.0, name="later"))
    hands.work()
    assert current(hands).id == gone.id, "still nobody may speak"
    registrar.record("rollback", None)
    assert revive(hands.bench.database, [before.model.digest]) == 1
    hands.work()
    again = current(hands)
    assert again.risk is not None
    assert again.model.id == "lin2025-vbq-t"


def test_where_another_model_speaks_its_number_takes_the_place(site: Any) -> None:
    hands, registrar = site
    before = current(hands)
    registrar.record("rollback", None)
    registrar.record("revoke", before.model.digest)
    recall(hands.bench.database, before.model.digest)
    hands.work()
    after = current(hands)
    assert after.model.id == "lin2025-vbq-t"
    assert after.risk is not None
    assert after.supersedes == before.id


def test_until_a_worker_has_looked_the_card_withholds_the_number(site: Any) -> None:
    hands, registrar = site
    answers = CardAnswers(hands.bench.models, "http://127.0.0.1", None)  # type: ignore[arg-type]  # no card is made here
    view = hands.bench.results.view("Patient/p1")
    assert answers._without_revoked(view) is view
    registrar.record("revoke", "our-own")
    withheld = answers._without_revoked(view).assessment
    assert withheld is not None
    assert (withheld.state, withheld.risk) == ("withdrawn", None)
    recall(hands.bench.database, withheld.model.digest)
    hands.work()
    assert current(hands).id == withheld.id, "what was shown is what the worker then wrote down"
