"""Dropped DELETEs: what a sender's server has no more is read, and taken back where it is gone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateways.fhir.watermarks import Watermarks
from gateways.store.database import Database
from tests import records
from tests.hostile_server import Answer, Asked, bundle, hostile
from tests.workers.conftest import STEPS
from tests.workers.test_reconciling import Server, at
from workers.outcomes import run_job
from workers.reconciling import Reconciler


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One database: what is tested here lies between us and the server."""
    return sqlite_database


@pytest.fixture
def server() -> Iterator[Server]:
    with hostile(lambda asked: Answer(500)) as hosted:
        hosted.script = made = Server(hosted)  # type: ignore[assignment]  # callable, with a state
        yield made


@pytest.fixture
def often(make_hands: Callable[..., Any], server: Server, tmp_path: Path) -> Any:
    sender = {"name": "hapi", "bearer_sha256": "0" * 64, "fhir_base_url": server.hosted.base, "reads": {"kind": "none"}}
    (tmp_path / "c.yaml").write_text(json.dumps({"senders": [sender]}))
    made = make_hands(config=tmp_path / "c.yaml", reconcile_deleted_seconds=0.001)
    made.reconciler = Reconciler(made.bench.settings)
    return made


def deleted_at(server: Server) -> Callable[[Asked], Answer | None]:
    """Searches by _id and reads, over `server.rows`; the rest as it is."""

    def answer(asked: Asked) -> Answer | None:
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        rows = {f"{row['resourceType']}/{row['id']}": row for row in server.rows}
        if "_id" in query:
            asked_for = [f"{parts.path}/{one}" for one in query["_id"].split(",")]
            kept = [{"resourceType": parts.path, "id": one.split("/")[1]} for one in asked_for if one in rows]
            return Answer(200, bundle(*kept))
        if "/" in parts.path and not query:
            return Answer(200, rows[parts.path]) if parts.path in rows else Answer(410, {})
        return None

    return answer


def look(hands: Any) -> bool:
    return bool(hands.reconciler.look_for_deletions(hands.bench, Watermarks(hands.bench.database), "hapi"))


def fetched(hands: Any) -> None:
    """Do what the look asked for."""
    for row, kind in hands.due():
        run_job(hands.bench, row, STEPS[kind])
    hands.work()


def test_a_delete_that_was_never_told_takes_the_value_back(often: Any, server: Server) -> None:
    server.fault = deleted_at(server)
    server.rows = [at(30, **records.patient()), at(20, **records.t_score()), at(20, **records.t_score(name="u"))]
    often.push(*server.rows, source="hapi")
    often.work()
    assert look(often)
    assert often.due() == [], "everything is there"
    server.rows.pop()
    assert look(often)
    fetched(often)
    with often.bench.database.read() as connection:
        facts = {row.reference: row.deleted for row in often.bench.facts.of_patient(connection, "Patient/p1")}
    assert facts == {"Patient/p1": False, "Observation/t-p1": False, "Observation/u-p1": True}
    asked = [path for path in server.hosted.paths() if "_id=" in path]
    assert asked
    assert all("_elements=id" in path for path in asked)


def test_what_is_deleted_made_anew_and_deleted_again_is_gone(often: Any, server: Server) -> None:
    server.fault = deleted_at(server)
    first, second = at(60, **records.t_score()), at(0, **records.t_score())
    second["meta"]["versionId"] = "3"
    for version in (first, second):
        server.rows = [at(90, **records.patient()), version]
        often.push(*server.rows, source="hapi")
        often.work()
        server.rows.pop()
        assert look(often)
        fetched(often)
        with often.bench.database.read() as connection:
            assert often.bench.facts.one(connection, "hapi", "Observation", "t-p1") is None


def test_a_search_that_lags_deletes_nothing(often: Any, server: Server) -> None:
    """What a search does not name is read, and only a 404 or 410 counts."""
    there = deleted_at(server)
    server.fault = lambda asked: Answer(200, bundle()) if "_id=" in asked.path else there(asked)
    server.rows = [at(30, **records.patient()), at(20, **records.t_score())]
    often.push(*server.rows, source="hapi")
    often.work()
    assert look(often)
    fetched(often)
    with often.bench.database.read() as connection:
        assert often.bench.facts.one(connection, "hapi", "Observation", "t-p1") is not None


def test_a_server_that_lost_most_of_it_is_not_believed(often: Any, server: Server) -> None:
    server.fault = deleted_at(server)
    rows = [at(30, **records.patient())] + [at(20, **records.t_score(name=f"t{one}")) for one in range(30)]
    often.push(*rows, source="hapi")
    often.work()
    server.rows = rows[:1]
    assert not look(often)
    assert often.due() == []
    (mark,) = [row for row in Watermarks(often.bench.database).all() if row.code]
    assert (mark.resource_type, mark.code) == ("Observation (deleted)", "too-many-gone")


def test_a_server_that_does_not_search_by_id_is_left_alone(often: Any, server: Server) -> None:
    server.rows = [at(30, **records.patient()), at(20, **records.t_score())]
    often.push(*server.rows, source="hapi")
    often.work()
    other = {"resourceType": "Patient", "id": "somebody-else"}
    server.fault = lambda asked: Answer(200, bundle(other)) if "_id=" in asked.path else None
    assert not look(often)
    (mark,) = [row for row in Watermarks(often.bench.database).all() if row.code]
    assert mark.code == "poll-not-possible"
