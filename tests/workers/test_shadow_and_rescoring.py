"""A model beside the active one, and stored assessments made again with another one, on both databases."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gateways.registry import models as models_module
from gateways.registry.rescoring import Rescoring, standing
from gateways.store.registry_tables import shadow_scores
from gateways.store.tables import assessments, published
from schemas.assessment import Assessment
from tests import records
from tests.registries import Registrar, SiteKeys, own_model, stronger

PEOPLE = ("p1", "p2", "p3")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 0.0)


@pytest.fixture
def site(make_hands: Any, tmp_path: Path) -> tuple[Any, Registrar]:
    """Hands at work with one study for three women, and the registry of their site."""
    keys = SiteKeys(tmp_path)
    hands = make_hands(config=keys.config)
    return hands, Registrar(keys, hands.bench.database)


def arrive(hands: Any, small_study: Path, *people: str) -> None:
    for name in people:
        study = records.imaging_study(name, address=records.file_url(small_study))
        hands.push(records.bundle(records.patient(name), study, records.t_score(name, value=-2.9)))
    hands.work()


def current(hands: Any, name: str) -> Assessment:
    found = hands.bench.results.view(f"Patient/{name}").assessment
    assert found is not None
    return found


def count(hands: Any, table: Any) -> int:
    with hands.bench.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_the_shadow_scores_every_assessment_and_shows_nothing(site: Any, small_study: Path) -> None:
    hands, registrar = site
    shadow = registrar.add(stronger(own_model(), 2.0))
    registrar.record("shadow", "our-own")
    arrive(hands, small_study, "p1")
    found = current(hands, "p1")
    (row,) = hands.bench.shadows.of(shadow.digest)
    assert found.model.id == "lin2025-vbq-t"
    assert found.risk is not None
    assert row.assessment == found.id
    assert (row.state, row.active_state, row.active_risk) == ("complete", found.state, found.risk.risk)
    assert row.risk == pytest.approx(1 - (1 - found.risk.risk) ** 2)
    with hands.bench.database.read() as connection:
        bodies = [bytes(body) for body in connection.scalars(select(published.c.body))]
    everything = b"".join(bodies) + found.model_dump_json().encode()
    assert shadow.digest.encode() not in everything
    assert b"our-own" not in everything
    assert json.dumps(row.risk).encode() not in everything


def test_a_shadow_that_refuses_is_recorded_and_does_not_stop_the_active_model(site: Any, small_study: Path) -> None:
    hands, registrar = site
    narrow = own_model().covariates[0].model_dump() | {"physiological": {"low": 0.5, "high": 1.0}}
    shadow = registrar.add(own_model(covariates=[narrow, own_model().covariates[1]]))
    registrar.record("shadow", "our-own")
    arrive(hands, small_study, "p1")
    assert current(hands, "p1").state == "complete"
    (row,) = hands.bench.shadows.of(shadow.digest)
    assert row.risk is None
    assert row.reason == "input-out-of-range"


def test_rescoring_replaces_every_assessment_and_keeps_the_old_ones(site: Any, small_study: Path) -> None:
    hands, registrar = site
    arrive(hands, small_study, *PEOPLE)
    before = {name: current(hands, name) for name in PEOPLE}
    model = registrar.add(stronger(own_model(), 2.0))
    registrar.record("deploy", "our-own")
    again = Rescoring(hands.bench.database, model.digest)
    assert again.stale() == standing(hands.bench.database, before["p1"].model.digest) == 3
    again.begin()
    assert [again.ask(2), again.ask(2), again.ask(2)] == [2, 1, 0]
    hands.work()
    assert again.stale() == 0
    for name in PEOPLE:
        found = current(hands, name)
        assert found.model.digest == model.digest
        assert found.supersedes == before[name].id
        assert hands.bench.results.assessment(before[name].id) == before[name], "history is kept"
    assert count(hands, assessments) == 6
    registrar.record("rollback")
    back = Rescoring(hands.bench.database, before["p1"].model.digest)
    back.begin()
    back.ask(100)
    hands.work()
    assert {current(hands, name).id for name in PEOPLE} == {row.id for row in before.values()}


def test_rescoring_that_was_stopped_goes_on_where_it_was(site: Any, small_study: Path) -> None:
    hands, registrar = site
    arrive(hands, small_study, *PEOPLE)
    model = registrar.add(stronger(own_model(), 2.0))
    registrar.record("deploy", "our-own")
    first = Rescoring(hands.bench.database, model.digest)
    first.begin()
    first.ask(1)
    second = Rescoring(hands.bench.database, model.digest)
    second.begin()
    place = second.progress()
    assert (place.asked, place.left, place.waiting, place.finished) == (1, 2, 1, False)
    assert second.ask(10) == 2
    assert second.progress().finished
    assert second.progress().waiting == 3
    hands.work()
    assert second.progress().waiting == 0
    assert second.stale() == 0


def test_shadow_scores_can_be_filled_in_for_what_was_stored_before(site: Any, small_study: Path) -> None:
    hands, registrar = site
    arrive(hands, small_study, *PEOPLE)
    before = count(hands, assessments)
    shadow = registrar.add(stronger(own_model(), 2.0))
    registrar.record("shadow", "our-own")
    fill = Rescoring(hands.bench.database, shadow.digest, "shadow")
    fill.begin()
    assert fill.ask(100) == 3
    hands.work()
    assert count(hands, shadow_scores) == 3
    assert fill.stale() == 0
    assert count(hands, assessments) == before


def test_patients_whose_assessment_died_of_a_revoked_model_are_asked_for_again(site: Any, small_study: Path) -> None:
    hands, registrar = site
    registrar.add(own_model())
    registrar.record("deploy", "our-own")
    registrar.record("revoke", "our-own")
    arrive(hands, small_study, "p1")
    assert hands.bench.results.view("Patient/p1").assessment is None
    assert hands.job("assess").reason_code == "model-revoked"
    registrar.record("rollback")
    again = Rescoring(hands.bench.database, registrar.models.active().digest)
    again.begin()
    assert again.ask(10) == 1
    hands.work()
    assert current(hands, "p1").state == "complete"
