"""The reconciliation poll: finds what was dropped, repeats nothing, and its watermark trails what is durable."""

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateways.fhir.watermarks import Watermarks
from gateways.records.facts import instant
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import StoreUnavailable
from tests import records
from tests.hostile_server import Answer, Asked, Hostile, bundle, hostile
from workers.reconciling import Reconciler

Json = dict[str, Any]


def at(seconds_ago: float, **resource: Any) -> Json:
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    return {**resource, "meta": {"versionId": "1", "lastUpdated": moment.isoformat(timespec="milliseconds")}}


class Server:
    """Searches by _lastUpdated, sorts, pages by two; `fault` answers in its place."""

    def __init__(self, hosted: Hostile) -> None:
        self.hosted = hosted
        self.rows: list[Json] = []
        self.fault: Callable[[Asked], Answer | None] = lambda asked: None

    def __call__(self, asked: Asked) -> Answer:
        found = self.fault(asked)
        if found is not None:
            return found
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not query:
            return Answer(404, {})
        since = instant(query["_lastUpdated"].removeprefix("ge")) or 0.0
        rows = [row for row in self.rows if row["resourceType"] == parts.path and moment(row) >= since]
        rows.sort(key=moment)
        offset = int(query.get("offset", 0))
        more = f"{self.hosted.base}/{asked.path.split('&offset')[0]}&offset={offset + 2}"
        return Answer(200, bundle(*rows[offset : offset + 2], following=more if len(rows) > offset + 2 else None))


def moment(row: Json) -> float:
    return instant(row["meta"]["lastUpdated"]) or 0.0


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One database: what is tested here lies between us and the server. On both: test_watermarks.py."""
    return sqlite_database


@pytest.fixture
def server() -> Iterator[Server]:
    with hostile(lambda asked: Answer(500)) as hosted:
        hosted.script = made = Server(hosted)  # type: ignore[assignment]  # callable, with a state
        yield made


@pytest.fixture
def hands(make_hands: Callable[..., Any], server: Server, tmp_path: Path) -> Any:
    sender = {"name": "hapi", "bearer_sha256": "0" * 64, "fhir_base_url": server.hosted.base, "reads": {"kind": "none"}}
    (tmp_path / "c.yaml").write_text(json.dumps({"senders": [sender]}))
    made = make_hands(config=tmp_path / "c.yaml", reconcile_seconds=0.001, reconcile_overlap_seconds=60)
    made.reconciler = Reconciler(made.bench.settings)
    return made


def poll(hands: Any) -> bool:
    return bool(hands.reconciler.poll(hands.bench, Watermarks(hands.bench.database), "hapi"))


def seen(hands: Any, kind: str = "Observation") -> float:
    marks = {row.resource_type: row for row in Watermarks(hands.bench.database).all()}
    return marks[kind].seen_until


def accepted(hands: Any) -> list[str]:
    return sorted(row.resource for row in hands.bench.inbox.list(count=1000))


def test_what_was_never_pushed_is_found_once(hands: Any, server: Server) -> None:
    server.rows = [at(30 - number, **records.t_score(f"p{number}")) for number in range(5)]
    server.rows += [at(20, **records.patient(f"p{number}")) for number in range(5)]
    assert poll(hands)
    first = accepted(hands)
    assert len(first) == 10
    assert poll(hands)
    assert accepted(hands) == first
    server.rows.append(at(-0.1, **records.t_score("p9")))
    assert poll(hands)
    assert accepted(hands) == sorted([*first, "Observation/t-p9"])
    with hands.bench.database.read() as connection:
        assert "hapi/Patient/p9" in hands.bench.jobs.unfinished(connection, "fetch"), "her Patient is asked for"


def test_what_a_sender_pushed_already_is_no_second_event(hands: Any, server: Server) -> None:
    row = at(10, **records.t_score())
    hands.push(row, source="hapi")
    server.rows = [row]
    assert poll(hands)
    assert accepted(hands) == ["Observation/t-p1"]


def test_the_watermark_is_the_servers_time_and_moves_after_the_rows(
    hands: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll(hands)
    before = seen(hands)
    server.rows = [at(-0.5, **records.t_score("a")), at(-1, **records.t_score("b")), at(-1.5, **records.t_score("c"))]
    time.sleep(1.6)

    def full(events: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(hands.bench.inbox, "accept", full)
        with pytest.raises(StoreUnavailable):
            poll(hands)
    assert seen(hands) == before
    assert poll(hands)
    assert seen(hands) == pytest.approx(moment(server.rows[2]))
    assert len(accepted(hands)) == 3


def test_a_poll_that_is_cut_off_goes_on_where_it_was(hands: Any, server: Server) -> None:
    poll(hands)
    server.rows = [at(-0.1 * number, **records.t_score(f"p{number}")) for number in range(5)]
    time.sleep(0.6)
    server.fault = lambda asked: Answer(503, {}) if "offset=2" in asked.path else None
    assert not poll(hands)
    assert seen(hands) == pytest.approx(moment(server.rows[1]))
    (mark,) = [row for row in Watermarks(hands.bench.database).all() if row.code]
    assert (mark.resource_type, mark.code) == ("Observation", "ehr-unavailable")
    server.fault = lambda asked: None
    hands.hurry()
    assert poll(hands)
    assert len(accepted(hands)) == 5
    assert not [row for row in Watermarks(hands.bench.database).all() if row.code]


def test_a_time_in_the_future_does_not_carry_the_watermark_along(hands: Any, server: Server) -> None:
    server.rows = [at(-86400 * 365, **records.t_score("forged"))]
    assert poll(hands)
    assert seen(hands) <= time.time()
    server.rows.append(at(0, **records.t_score("real")))
    assert poll(hands)
    assert accepted(hands) == ["Observation/t-forged", "Observation/t-real"]


def test_a_type_that_the_server_does_not_have_is_passed_over(hands: Any, server: Server) -> None:
    server.rows = [at(5, **records.t_score())]
    server.fault = lambda asked: Answer(404, {}) if asked.path.startswith("Endpoint") else None
    assert poll(hands)
    assert accepted(hands) == ["Observation/t-p1"]


def test_a_server_that_ignores_the_time_is_not_read_as_a_whole_every_time(hands: Any, server: Server) -> None:
    old = [at(9000 + number, **records.t_score(f"p{number}")) for number in range(9)]
    server.fault = lambda asked: Answer(200, bundle(*old[:2], following=f"{server.hosted.base}/Observation?page=2"))
    assert not poll(hands)
    (mark,) = {row.code for row in Watermarks(hands.bench.database).all()}
    assert mark == "poll-not-possible"
    assert accepted(hands) == []
    assert "Observation?page=2" not in server.hosted.paths()


def test_what_cannot_be_taken_becomes_a_dead_letter_and_stops_nothing(hands: Any, server: Server) -> None:
    server.rows = [
        at(9, **records.t_score()),
        at(8, resourceType="Observation", id="odd"),
        at(7, **records.t_score("q")),
    ]
    assert poll(hands)
    hands.read_events()
    assert [row.resource for row in hands.bench.inbox.dead()] == ["Observation/odd"]
    assert len(accepted(hands)) == 3


def test_nothing_is_polled_where_nothing_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({"senders": [{"name": "x", "bearer_sha256": "0" * 64}]}))
    assert not Reconciler(Settings(config=tmp_path / "c.yaml", data_dir=tmp_path)).start()
    assert not Reconciler(Settings(data_dir=tmp_path)).start()


def test_the_thread_polls_by_itself_and_ends_when_told(hands: Any, server: Server) -> None:
    server.rows = [at(5, **records.patient())]
    own = Database(hands.bench.settings.database)
    own.migrate()
    own.close()
    reconciler = hands.reconciler
    assert reconciler.start()
    until = time.monotonic() + 10
    while not server.hosted.asked and time.monotonic() < until:
        time.sleep(0.02)
    reconciler.stop()
    assert server.hosted.asked
