"""The inbox, on both databases."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert

from gateways.queue.inbox import BATCH, HOLD_SECONDS, Inbox
from gateways.store.database import Database
from gateways.store.tables import leases
from schemas.errors import NotAcceptable, StoreUnavailable, Superseded
from schemas.events import IncomingEvent

Make = Callable[..., IncomingEvent]


@pytest.fixture
def inbox(database: Database, clock: Any) -> Inbox:
    return Inbox(database, clock=clock)


def finish(database: Database, inbox: Inbox) -> int:
    claimed = inbox.claim()
    with database.write() as connection:
        for row in claimed:
            inbox.finish(connection, row.claim)
    return len(claimed)


def test_the_same_version_twice_is_one_row_with_one_receipt(inbox: Inbox, event: Make) -> None:
    (first,) = inbox.accept([event()])
    (second,) = inbox.accept([event()])
    assert (first.repeat, second.repeat) == (False, True)
    assert first.event == second.event
    assert inbox.stats()["accepted"] == 1


def test_the_same_version_twice_in_one_request_is_one_row(inbox: Inbox, event: Make) -> None:
    first, second, third = inbox.accept([event(), event(), event(version="2")])
    assert [first.repeat, second.repeat, third.repeat] == [False, True, False]
    assert first.event == second.event != third.event


def test_another_sender_or_version_is_another_row(inbox: Inbox, event: Make) -> None:
    receipts = inbox.accept([event(), event(source="other"), event(version="2"), event("Observation/o2")])
    assert len({receipt.event for receipt in receipts}) == 4


def test_delete_create_delete_are_three_events_and_a_repeated_delete_is_one(inbox: Inbox, event: Make) -> None:
    gone = event(version="deleted-", interaction="delete", body=b"")
    (created,) = inbox.accept([event()])
    (deleted,) = inbox.accept([gone])
    (again,) = inbox.accept([gone])
    inbox.accept([event(version="2")])
    (second,) = inbox.accept([gone])
    assert again.repeat
    assert again.event == deleted.event
    assert len({created.event, deleted.event, second.event}) == 3
    assert not second.repeat


def test_many_threads_share_commits_and_each_gets_its_own_receipts(database: Database, event: Make) -> None:
    inbox = Inbox(database)
    found: dict[int, list[str]] = {}

    def send(thread: int) -> None:
        receipts = [inbox.accept([event(f"Observation/t{thread}n{n}")])[0] for n in range(20)]
        found[thread] = [receipt.resource for receipt in receipts]

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inbox.close()
    assert found == {t: [f"Observation/t{t}n{n}" for n in range(20)] for t in range(8)}
    assert inbox.stats()["accepted"] == 160


def test_a_claim_takes_a_batch_oldest_first_and_nobody_else_gets_it(inbox: Inbox, event: Make) -> None:
    inbox.accept([event(f"Observation/o{n}") for n in range(BATCH + 5)])
    first, second, third = inbox.claim(), inbox.claim(), inbox.claim()
    assert [len(first), len(second), len(third)] == [BATCH, 5, 0]
    assert [row.event.resource_id for row in first[:3]] == ["o0", "o1", "o2"]


def test_a_lease_that_ran_out_is_taken_over_alone_and_the_old_holder_cannot_commit(
    inbox: Inbox, database: Database, event: Make, clock: Any
) -> None:
    inbox.accept([event("Observation/a"), event("Observation/b")])
    old = inbox.claim()
    clock.pass_(HOLD_SECONDS + 1)
    new = inbox.claim(old[0].claim.id)
    assert [row.claim.id for row in new] == [old[0].claim.id]
    assert new[0].claim.attempts == 2
    with pytest.raises(Superseded), database.write() as connection:
        inbox.finish(connection, old[0].claim)
    with database.write() as connection:
        inbox.finish(connection, new[0].claim)


def test_a_superseded_commit_takes_its_effect_back(inbox: Inbox, database: Database, event: Make, clock: Any) -> None:
    inbox.accept([event()])
    (old,) = inbox.claim()
    clock.pass_(HOLD_SECONDS + 1)
    inbox.claim()

    def commit() -> None:
        with database.write() as connection:
            connection.execute(insert(leases).values(name="effect", holder="x", until=0.0))
            inbox.finish(connection, old.claim)

    with pytest.raises(Superseded):
        commit()
    with database.read() as connection:
        assert connection.execute(leases.select()).all() == []


def test_a_failed_event_comes_back_after_its_delay(inbox: Inbox, database: Database, event: Make, clock: Any) -> None:
    inbox.accept([event()])
    (row,) = inbox.claim()
    with database.write() as connection:
        inbox.fail(connection, row.claim, code="defect", text="why", delay_seconds=5)
    assert inbox.claim() == []
    clock.pass_(5)
    (again,) = inbox.claim()
    assert again.claim.attempts == 2


def test_a_dead_letter_keeps_reason_and_body_and_replay_is_idempotent(
    inbox: Inbox, database: Database, event: Make
) -> None:
    inbox.accept([event(body=b'{"kept":1}')])
    (row,) = inbox.claim()
    with database.write() as connection:
        inbox.bury(connection, row.claim, code="not-fhir", text="Observation.status")
    (dead,) = inbox.dead()
    assert (dead.state, dead.reason_code, dead.reason_text) == ("dead", "not-fhir", "Observation.status")
    assert inbox.show(dead.id)[1] == b'{"kept":1}'
    assert inbox.replay() == [dead.id]
    assert inbox.replay() == []
    assert inbox.dead() == []
    assert len(inbox.claim()) == 1


def test_replay_leaves_alone_what_is_at_work(inbox: Inbox, event: Make) -> None:
    inbox.accept([event()])
    (row,) = inbox.claim()
    assert inbox.replay([row.claim.id]) == []


def test_an_unknown_event_is_refused_in_words(inbox: Inbox) -> None:
    with pytest.raises(NotAcceptable, match="there is no event 99"):
        inbox.show(99)


def test_stats_add_up_and_know_the_oldest(inbox: Inbox, database: Database, event: Make, clock: Any) -> None:
    assert inbox.stats()["oldest_pending_seconds"] == 0.0
    inbox.accept([event(f"Observation/o{n}") for n in range(3)])
    clock.pass_(7)
    assert inbox.stats()["oldest_pending_seconds"] == 7.0
    claimed = inbox.claim(limit=2)
    with database.write() as connection:
        inbox.finish(connection, claimed[0].claim)
        inbox.bury(connection, claimed[1].claim, code="x", text="y")
    stats = inbox.stats()
    assert (stats["accepted"], stats["done"], stats["dead"], stats["pending"]) == (3, 1, 1, 1)


def test_an_event_without_tables_is_an_unavailable_store_and_not_a_loss(tmp_path: object, event: Make) -> None:
    inbox = Inbox(Database(f"sqlite:///{tmp_path}/empty.sqlite3"))
    with pytest.raises(StoreUnavailable, match="no such table"):
        inbox.accept([event()])


def test_one_row_that_the_database_refuses_does_not_take_its_neighbours_along(database: Database, event: Make) -> None:
    """PostgreSQL refuses a NUL in a text; SQLite takes it."""
    inbox = Inbox(database)
    good, bad = [event("Observation/good")], [event("Observation/bad", version="1\0")]
    outcomes: list[object] = []

    def send(events: list[IncomingEvent]) -> None:
        try:
            outcomes.append(inbox.accept(events)[0].resource)
        except StoreUnavailable as error:
            outcomes.append(error.detail)

    threads = [threading.Thread(target=send, args=(events,)) for events in (good, bad, good)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("Observation/good") == 2
    assert len(outcomes) == 3


def test_a_failed_event_that_is_named_is_not_starved_by_new_ones(inbox: Inbox, database: Database, event: Make) -> None:
    inbox.accept([event("Observation/odd")])
    (odd,) = inbox.claim()
    with database.write() as connection:
        inbox.fail(connection, odd.claim, code="defect", text="why", delay_seconds=0)
    inbox.accept([event(f"Observation/o{n}") for n in range(3)])
    assert [row.claim.id for row in inbox.claim(odd.claim.id)] == [odd.claim.id]
    assert len(inbox.claim()) == 3


def test_what_a_dead_worker_held_is_not_starved_by_a_flow_of_new_events(inbox: Inbox, event: Make, clock: Any) -> None:
    [lost] = inbox.accept([event("lost")])
    inbox.claim()  # and the worker dies
    clock.pass_(HOLD_SECONDS + 1)
    [new] = inbox.accept([event("new")])
    assert [row.claim.id for row in inbox.claim()] == [lost.event]
    assert [row.claim.id for row in inbox.claim()] == [new.event]
