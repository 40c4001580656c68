"""What is known of a subscription after notifications that come late, twice and in any order. On both databases."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateways.fhir.subscriptions import Noted, Subscriptions
from gateways.store.database import Database
from schemas.notice import Notice
from tests.databases import with_tables

START = time.time() - 3600
names = itertools.count()


def told(number: int, *, at: float | None = None, total: int | None = None, **changes: Any) -> Notice:
    """The notification of event `number`, sent `at` seconds after the start."""
    seconds = START + (number if at is None else at)
    sent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    given = {"kind": "event-notification", "numbers": [number], "announced": number if total is None else total}
    return Notice.model_validate({**given, "subscription": "Subscription/s", "sent": sent, **changes})


def note(database: Database, key: str, *notices: Notice, first_event: int = 1) -> Noted:
    """Take them down in this order, as inbox rows one after the other."""
    store = Subscriptions(database)
    with database.write() as connection:
        for event, notice in enumerate(notices, first_event):
            noted = store.note(connection, "ehr", key, notice, event)
    return noted


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = with_tables(f"sqlite:///{tmp_path_factory.mktemp('db') / 'test.sqlite3'}")
    yield made
    made.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 12), min_size=1, max_size=16))
def test_late_double_and_shuffled_ones_are_no_new_count(store: Database, order: list[int]) -> None:
    noted = note(store, f"k{next(names)}", *[told(number) for number in order])
    found = noted.subscription
    assert found.resets == 0
    assert found.numbers.top == max(order)
    here = {number for first, last in found.numbers.missing for number in range(first, last + 1)}
    assert here == set(range(1, max(order) + 1)) - set(order)
    assert noted.gap == bool(here)
    assert (found.complete_at is not None) or here or len(set(order)) == 0


def test_replaying_all_of_them_changes_nothing(database: Database) -> None:
    notices = [told(1), told(2), told(5), told(3)]
    before = note(database, "s", *notices).subscription
    after = note(database, "s", *notices).subscription
    assert (after.numbers, after.resets, after.event) == (before.numbers, 0, before.event)


def test_a_count_that_falls_in_a_later_one_is_a_new_count_and_wants_a_search(database: Database) -> None:
    noted = note(database, "s", told(7, total=7), told(1, at=100))
    found = noted.subscription
    assert noted.search
    assert (found.resets, found.numbers.top, found.numbers.missing) == (1, 1, ())
    assert found.search_from is not None
    assert found.search_from < START, "back to before the last moment at which nothing was missing"


def test_a_clock_that_runs_ahead_hides_nothing(database: Database) -> None:
    found = note(database, "s", told(1, at=10 * 24 * 3600)).subscription
    assert found.complete_at is not None
    assert found.complete_at <= time.time()


def test_what_came_while_a_search_ran_is_still_wanted(database: Database) -> None:
    store = Subscriptions(database)
    ping = Notice(kind="ping", search=True)
    note(database, "any", ping)
    with database.read() as connection:
        then = store.one(connection, "ehr", "any")
    assert then is not None
    note(database, "any", ping, first_event=2)
    with database.write() as connection:
        assert store.caught_up(connection, then, closed=()) is True
        now = store.one(connection, "ehr", "any")
        assert now is not None
        assert store.caught_up(connection, now, closed=()) is False
        store.progress(connection, then, {"Patient": "through"})
    [left] = store.list()
    assert (left.search_from, left.progress) == (None, {})


def test_a_gap_that_opened_meanwhile_is_not_closed_with_the_others(database: Database) -> None:
    store = Subscriptions(database)
    then = note(database, "s", told(1), told(3)).subscription
    note(database, "s", told(6), first_event=3)
    with database.write() as connection:
        assert store.caught_up(connection, then, closed=then.numbers.missing) is True
    [left] = store.list()
    assert left.numbers.missing == ((4, 5),)


def test_the_table_holds_nothing_of_anybody(database: Database, tmp_path: Path) -> None:
    note(database, "s", told(1, fetch=["Patient/canary-1"], topic="http://t.example"))
    with database.read() as connection:
        rows = [dict(row._mapping) for row in connection.exec_driver_sql("SELECT * FROM subscriptions")]
    assert "canary" not in json.dumps(rows, default=str)
