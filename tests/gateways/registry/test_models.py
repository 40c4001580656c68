"""The registry on both databases: what is served, what is refused, in which words; many replicas, one truth."""

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateways.registry import models as models_module
from gateways.registry.models import Models
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import Forbidden, ModelRefused, StoreUnavailable
from tests.registries import Registrar, SiteKeys, own_model
from vbq.risk.artefact import canonical
from vbq.risk.published import build
from vbq.risk.shipped import DEFAULT_MODEL


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 0.0)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Registrar:
    return Registrar(SiteKeys(tmp_path), database)


def stages(models: Models) -> dict[str, str]:
    return {f"{row.model.artefact.id}@{row.model.artefact.version}": row.stage for row in models.all()[0]}


def test_without_a_database_the_shipped_model_is_served_and_none_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert Models(settings, Database(settings.database)).active().artefact.id == DEFAULT_MODEL
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_the_registrys_tables_waits_for_its_migration(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    database = Database(settings.database)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE inbox (id INTEGER)"))
    with pytest.raises(StoreUnavailable, match="vbq migrate"):
        Models(settings, database).active()
    database.close()


def test_a_deployment_counts_in_every_replica_without_a_restart_and_is_undone_by_one_command(site: Registrar) -> None:
    other = site.replica()
    site.add(own_model())
    assert other.active().artefact.id == DEFAULT_MODEL
    site.record("deploy", "our-own")
    assert other.active().artefact.id == "our-own"
    assert stages(other) == {"lin2025-vbq-t@1.0.0": "retired", "our-own@1.0.0": "active"}
    site.record("rollback")
    assert other.active().artefact.id == DEFAULT_MODEL
    assert stages(other) == {"lin2025-vbq-t@1.0.0": "active", "our-own@1.0.0": "retired"}
    with pytest.raises(ModelRefused, match="no earlier model"):
        site.record("rollback")


def test_a_change_is_seen_after_the_cache_time_at_the_latest(site: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    other = site.replica()
    other.active()
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 3600.0)
    site.add(own_model())
    site.record("deploy", "our-own")
    assert other.active().artefact.id == DEFAULT_MODEL
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 0.0)
    assert other.active().artefact.id == "our-own"


def test_versions_of_one_id_live_side_by_side_and_each_version_is_one_content(site: Registrar) -> None:
    first = site.add(own_model("1.0.0"))
    second = site.add(own_model("1.1.0"))
    assert site.add(own_model("1.1.0")) == second
    with pytest.raises(ModelRefused, match="taken by another content"):
        site.add(own_model("1.1.0", caution="Other words."))
    assert site.models.get("our-own").digest == second.digest
    site.record("deploy", "our-own@1.0.0")
    assert site.models.get("our-own").digest == first.digest
    assert site.models.get(second.digest[:8]).artefact.version == "1.1.0"
    assert site.models.get(second.digest).artefact.version == "1.1.0"


def test_a_revoked_model_refuses_to_score_for_ever(site: Registrar) -> None:
    site.add(own_model())
    site.record("deploy", "our-own")
    site.record("revoke", "our-own")
    other = site.replica()
    for ask in (other.active, lambda: other.usable("our-own")):
        with pytest.raises(ModelRefused, match="was revoked") as caught:
            ask()
        assert caught.value.reason_code == "model-revoked"
    assert other.deployed().artefact.id == "our-own", "pages and probes can still say which it is"
    assert stages(other)["our-own@1.0.0"] == "revoked"
    for action in ("deploy", "shadow"):
        with pytest.raises(ModelRefused, match="revoked"):
            site.record(action, "our-own")
    site.record("rollback")
    assert other.active().artefact.id == DEFAULT_MODEL


def test_a_rollback_passes_over_revoked_models(site: Registrar) -> None:
    for version in ("1.0.0", "2.0.0"):
        site.add(own_model(version))
        site.record("deploy", f"our-own@{version}")
    site.record("revoke", "our-own@1.0.0")
    site.record("rollback")
    assert site.models.active().artefact.id == DEFAULT_MODEL


def test_a_shadow_stands_beside_the_active_model_until_it_is_taken_away_or_deployed(site: Registrar) -> None:
    assert site.models.shadow() is None
    site.add(own_model())
    site.record("shadow", "our-own")
    assert site.replica().shadow() == site.models.get("our-own")
    assert site.models.active().artefact.id == DEFAULT_MODEL
    site.record("unshadow")
    assert site.models.shadow() is None
    with pytest.raises(ModelRefused, match="no shadow"):
        site.record("unshadow")
    site.record("shadow", "our-own")
    site.record("deploy", "our-own")
    assert site.models.shadow() is None
    with pytest.raises(ModelRefused, match="own shadow"):
        site.record("shadow", "our-own")


def test_only_a_key_with_the_role_deploys_and_only_a_signers_models_count(site: Registrar) -> None:
    site.add(own_model())
    with pytest.raises(Forbidden, match="signer may not deploy"):
        site.record("deploy", "our-own", key=site.keys.signer)
    with pytest.raises(ModelRefused, match="not trusted"):
        site.record("deploy", "our-own", key=Ed25519PrivateKey.generate())
    with pytest.raises(ModelRefused, match="not trusted"):
        site.add(own_model("2.0.0"), key=site.keys.deployer)
    assert site.models.log() == []


def test_a_line_written_past_the_program_stops_everything(site: Registrar) -> None:
    """Somebody who can write to the database, but has no key, can halt scoring and cannot choose a model."""
    site.add(own_model())
    thief = Registrar(SiteKeys(site.keys.settings.data_dir), site.database)
    thief.add(own_model("6.6.6"), key=thief.keys.signer)
    thief.record("deploy", "our-own@6.6.6")
    site.keys.trust({"deployer": (site.keys.deployer, ["deploy"]), "signer": (site.keys.signer, ["sign"])})
    with pytest.raises(ModelRefused, match="not trusted here") as caught:
        site.replica().active()
    assert caught.value.reason_code == "model-log"


def test_a_line_by_a_key_that_lost_its_role_stops_everything_in_words(site: Registrar) -> None:
    site.add(own_model())
    site.record("deploy", "our-own")
    site.keys.trust({"deployer": (site.keys.deployer, ["sign"]), "signer": (site.keys.signer, ["sign"])})
    with pytest.raises(ModelRefused, match="may not deploy") as caught:
        site.replica().active()
    assert caught.value.reason_code == "model-log"
    assert site.replica().get("our-own").artefact.id == "our-own", "a stored result can still say who made it"


def test_the_log_cannot_be_changed_or_shortened_unseen(site: Registrar, database: Database) -> None:
    site.add(own_model())
    site.record("deploy", "our-own")
    site.record("rollback")
    for statement in ("UPDATE model_log SET number = number + 7", "DELETE FROM model_log", "DELETE FROM models"):
        with pytest.raises(DBAPIError, match="only grows"), database.write() as connection:
            connection.execute(text(statement))
    with database.write() as connection:  # somebody with the rights to take the triggers away
        if database.is_sqlite:
            connection.execute(text("DROP TRIGGER model_log_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER model_log_no_change ON model_log"))
        connection.execute(text("DELETE FROM model_log WHERE number = 1"))
    with pytest.raises(ModelRefused, match="not whole at line 2"):
        site.replica().active()
    with database.write() as connection:
        connection.execute(text("DELETE FROM model_log"))
    with pytest.raises(ModelRefused, match="lost lines"):
        site.models.active()


def test_of_two_that_deploy_at_once_one_is_told_to_look_again(site: Registrar) -> None:
    site.add(own_model("1.0.0"))
    site.add(own_model("2.0.0"))
    ends: list[str] = []
    start = threading.Barrier(4)

    def deploy(version: str) -> None:
        mine = Registrar(site.keys, site.database)
        start.wait()
        try:
            mine.record("deploy", f"our-own@{version}")
            ends.append("done")
        except ModelRefused as error:
            ends.append(error.reason_code)

    threads = [threading.Thread(target=deploy, args=(f"{1 + i % 2}.0.0",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ends) <= {"done", "overtaken"}
    log = site.models.log()
    assert len(log) == ends.count("done") >= 1
    assert [entry.number for entry in log] == list(range(1, len(log) + 1))


def test_the_log_says_who_deployed_what_when_and_why(site: Registrar) -> None:
    model = site.add(own_model())
    site.record("deploy", "our-own")
    (entry,) = site.replica().log()
    assert (entry.action, entry.digest, entry.model) == ("deploy", model.digest, "our-own 1.0.0")
    assert (entry.by, entry.why) == ("a tester", "because of a test")
    assert abs(dt.datetime.now(dt.UTC) - entry.at) < dt.timedelta(minutes=1)


def test_a_shipped_model_that_is_deployed_by_name_is_kept_with_its_bytes(site: Registrar, database: Database) -> None:
    site.add(own_model())
    site.record("deploy", "our-own")
    site.record("deploy", DEFAULT_MODEL)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM models")).scalar_one() == 2
    assert stages(site.models) == {"lin2025-vbq-t@1.0.0": "active", "our-own@1.0.0": "retired"}


def test_a_model_whose_row_was_changed_is_refused_and_the_others_still_open(
    site: Registrar, database: Database
) -> None:
    digest = site.add(own_model()).digest
    other_content = canonical(own_model("9.9.9"))
    with database.write() as connection:
        off = "DROP TRIGGER models_no_update" if database.is_sqlite else "DROP TRIGGER models_no_change ON models"
        connection.execute(text(off))
        connection.execute(
            text("UPDATE models SET content = :content WHERE digest = :digest"),
            {"content": other_content, "digest": digest},
        )
    other = site.replica()
    with pytest.raises(ModelRefused, match="changed after it was signed"):
        other.get("our-own")
    opened, refused = other.all()
    assert [row.model.artefact.id for row in opened] == [DEFAULT_MODEL]
    assert [row.name for row in refused] == ["our-own 1.0.0"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A", ".hidden", "x" * 65, "a/b", "a\x00b", "lin2025-vbq-t@9"])
def test_an_unknown_name_is_refused_and_looked_up_nowhere_else(site: Registrar, name: str) -> None:
    with pytest.raises(ModelRefused, match="no such model"):
        site.models.get(name)


STRANGE = [row.but(name=f"strange-{row.name}") for row in build().covariates]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servable": False, "servable_reason": "visit times"}, "visit times"),
        ({"thresholds": None}, "thresholds"),
        ({"covariates": STRANGE}, "does not read"),
        ({"expires": dt.date(2020, 1, 1)}, "expired"),
    ],
    ids=["not servable", "no thresholds", "strange covariate", "expired"],
)
def test_a_trusted_model_that_cannot_be_served_is_not_deployed(
    site: Registrar, changes: dict[str, Any], words: str
) -> None:
    site.add(own_model(**changes))
    for action in ("deploy", "shadow"):
        with pytest.raises(ModelRefused, match=words):
            site.record(action, "our-own")
    assert site.models.get("our-own").artefact.id == "our-own"
    assert site.models.active().artefact.id == DEFAULT_MODEL
