"""Erasing a patient: not a byte of her is left, everybody else is as before, and a new event brings her back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select

from gateways.audit.log import Audit
from gateways.records.erasure import ABOUT_NOBODY, BY_PATIENT, FOUND_OTHERWISE, Erasure, proof
from gateways.records.feedback import CardFeedback, Feedback
from gateways.records.retention import Retention
from gateways.store.database import Database
from gateways.store.tables import inbox, jobs, metadata
from schemas.audit import AuditEntry
from tests import records
from workers.retention import Housekeeping

CANARIES = ("Quetzalcanary", "1959-12-04", "CANARY-MRN-77", "canarypatient")
HER = "Patient/canarypatient-1"


@pytest.fixture
def hands(make_hands: Callable[..., Any], database: Database, tmp_path: Path) -> Any:
    given = {"database_url": f"sqlite:///{tmp_path / 'test.sqlite3'}"} if database.is_sqlite else {}
    return make_hands(**given)


def person(name: str = "canarypatient-1", **changes: Any) -> dict[str, Any]:
    told = {"name": [{"family": "Quetzalcanary"}], "identifier": [{"value": "CANARY-MRN-77"}, {"value": "SYNTH-0005"}]}
    return records.patient(name, **{**told, **changes})


def fill(hands: Any, small_study: Path) -> None:
    """Her with a study, a feedback and readers; somebody else with the same study."""
    for name, made in (("canarypatient-1", person()), ("other", records.patient("other"))):
        hands.push(made, records.imaging_study(name, address=records.file_url(small_study)), records.t_score(name))
    hands.work()
    hands.push(records.t_score("canarypatient-1", value=-3.1, name="later"))
    hands.work()
    shown = hands.bench.results.current(HER)
    assert shown is not None
    assert shown.state == "complete"
    said = CardFeedback(
        "card-1", "overridden", "2025-01-01T00:00:00Z", b'{"comment": "Quetzalcanary"}', assessment_prefix=shown.id
    )
    Feedback(hands.bench.database).store("view", "ehr", [said])
    with hands.bench.database.write() as connection:  # named by a notification, not fetched yet: patient unknown
        for reference in ("Patient/canarypatient-1", "Patient/other"):
            hands.bench.jobs.bump(connection, "fetch", f"some-sender/{reference}", "")
    read = {"actor_kind": "cds-client", "actor": "ehr", "action": "cards-read"}
    hands.bench.audit.write([AuditEntry(**read, patient=HER, entity=f"RiskAssessment/{shown.id}")])


def files_hold(database: Path, words: Sequence[str]) -> list[str]:
    """Which of `words` stand in the database's files, in any encoding that it uses."""
    content = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    return [word for word in words if word.encode() in content]


def test_every_table_is_either_about_nobody_or_erased(database: Database) -> None:
    with database.read() as connection:
        there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    treated = ABOUT_NOBODY | FOUND_OTHERWISE | {table.name for table in BY_PATIENT}
    assert there == treated, (
        "a new table must be named in gateways/records/erasure.py: about nobody, or how her rows are found"
    )
    for name in ABOUT_NOBODY:
        assert "patient" not in metadata.tables[name].c


def test_nothing_of_her_is_left_and_everybody_else_is_as_before(hands: Any, small_study: Path, tmp_path: Path) -> None:
    fill(hands, small_study)
    database = hands.bench.database
    other = hands.bench.results.current("Patient/other")
    file = tmp_path / "test.sqlite3"
    if database.is_sqlite:
        assert set(files_hold(file, CANARIES)) == set(CANARIES), "it was there before"
    erasure = Erasure(hands.bench.settings, database)
    found = erasure.look(HER)
    assert found.rows.keys() >= {"inbox", "resources", "jobs", "measurements", "assessments", "published", "feedback"}
    erased = erasure.erase(found, actor="tester")
    assert erased.audit_rows >= 3
    assert not erasure.look(HER).anything
    for table in metadata.sorted_tables:
        with database.read() as connection:
            rows = [repr(row) for row in connection.execute(select(table))]
        assert not [row for row in rows if any(word in row for word in ("canarypatient", "Quetzal"))], table.name
    if database.is_sqlite:
        assert erased.bytes_gone
        assert files_hold(file, ("Quetzalcanary", "CANARY-MRN-77", "canarypatient")) == []
    assert hands.bench.results.current("Patient/other") == other
    with database.read() as connection:
        waiting = list(connection.scalars(select(jobs.c.subject).where(jobs.c.kind == "fetch")))
    assert waiting == ["some-sender/Patient/other"]
    checked = Audit(database).verify()
    assert (checked.ok, checked.erased_rows) == (True, erased.audit_rows)
    last = list(Audit(database).rows(action="erased"))[-1]
    assert (last.patient, last.actor) == (None, "tester")
    assert last.detail["receipt"] == proof(erased.receipt, HER) != proof(erased.receipt, "Patient/other")
    fill_again = records.t_score("canarypatient-1")
    hands.push(person(), fill_again)
    hands.work()
    assert hands.bench.results.current(HER) is not None, "a new event brings her back"


def test_an_event_that_is_being_read_while_she_is_erased_writes_nothing(hands: Any) -> None:
    from workers.events import _write, read

    hands.push(person(), records.t_score("canarypatient-1"))
    reads = [read(row, hands.bench) for row in hands.bench.inbox.claim()]
    erasure = Erasure(hands.bench.settings, hands.bench.database)
    erasure.erase(erasure.look(HER), actor="tester")
    from schemas.errors import Superseded

    with pytest.raises(Superseded):
        _write(hands.bench, reads)
    assert not erasure.look(HER).anything


def test_all_records_of_a_person_go_unless_one_alone_is_meant(hands: Any) -> None:
    tie = {"link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]}
    hands.push(records.patient("p1", **tie), records.t_score("p1"), records.patient("p2"))
    hands.work()
    erasure = Erasure(hands.bench.settings, hands.bench.database)
    assert erasure.look("Patient/p2").patients == ["Patient/p2", "Patient/p1"]
    erasure.erase(erasure.look("Patient/p1", only_this_record=True), actor="tester")
    hands.work()
    left = hands.bench.results.current("Patient/p2")
    assert left is not None
    assert left.state == "withdrawn", "who rested on her data is assessed without it"
    erasure.erase(erasure.look("Patient/p2"), actor="tester")
    assert not erasure.look("Patient/p2").anything


def test_files_below_the_data_directory_go_and_others_are_named(hands: Any, small_study: Path) -> None:
    root = hands.bench.settings.data_dir / "studies"
    for name in ("hers", "shared"):
        (root / name).mkdir(parents=True)
        (root / name / "a.dcm").write_bytes(b"x")
    for number, (name, place) in enumerate(
        (("p1", root / "hers"), ("p1", root / "shared"), ("p2", root / "shared"), ("p1", small_study), ("p1", root))
    ):
        hands.push(records.imaging_study(name, address=records.file_url(place), name=f"s{number}"))
    hands.read_events()
    erasure = Erasure(hands.bench.settings, hands.bench.database)
    found = erasure.look("Patient/p1")
    assert (found.directories, found.elsewhere) == ([root / "hers"], 2)
    assert erasure.erase(found, actor="tester").directories == 1
    assert ((root / "hers").exists(), (root / "shared" / "a.dcm").exists()) == (False, True)


def test_what_is_old_goes_and_what_counts_stays(hands: Any, small_study: Path) -> None:
    fill(hands, small_study)
    database = hands.bench.database
    counts = hands.bench.results.current(HER)
    day = 86400.0
    now = hands.bench.now().timestamp()
    assert Retention(database).apply(1, actor="tester").total == 0, "nothing is a day old"
    removed = Retention(database, clock=lambda: now + 2 * day).apply(1, actor="tester")
    assert (removed.event_bodies, removed.assessments, removed.feedback_bodies) == (7, 1, 1)
    assert Retention(database, clock=lambda: now + 2 * day).apply(1, actor="tester").total == 0
    assert hands.bench.results.current(HER) == counts
    assert counts is not None
    assert hands.bench.results.resource("RiskAssessment", counts.id) is not None
    hands.push(records.t_score("canarypatient-1"))
    with database.read() as connection:
        assert len(connection.execute(select(inbox.c.id)).all()) == 7, "a repeat is still known as one"
    assert hands.bench.inbox.replay([1, 2]) == [], "what has no body any more cannot be replayed"
    assert Audit(database).verify().ok
    assert [row.action for row in Audit(database).rows(action="retention")] == ["retention"]


def test_the_sweeper_removes_what_is_old_and_says_where_the_audit_log_stands(
    hands: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("workers.retention.SOON_SECONDS", 0.0)
    hands.push(person())
    hands.work()
    keeps, removes = Housekeeping(hands.bench.database, 0.0), Housekeeping(hands.bench.database, 1e-9)
    with caplog.at_level("INFO"):
        keeps.tend()
        assert hands.bench.inbox.replay([1]) == [1]
        hands.work()
        removes.tend()
        removes.tend()
    assert hands.bench.inbox.replay([1]) == []
    said = [row for row in caplog.records if row.message == "audit log"]
    assert len(said) == 2, "each once an hour"
    head = hands.bench.audit.checkpoint()
    assert vars(said[0])["sequence"] < head.sequence
    assert [row.action for row in Audit(hands.bench.database).rows()][-1] == "retention"
