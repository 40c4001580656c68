"""Facts: the latest version counts, however the versions arrive."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.records.facts import Facts, StoredResource, instant, replaces
from gateways.store.database import Database

BASE = StoredResource(
    source="engine",
    resource_type="Observation",
    resource_id="o1",
    patient="Patient/p1",
    version="1",
    last_updated=None,
    event=1,
    deleted=False,
    interest=None,
    body=b"1",
)


def put(database: Database, *rows: StoredResource) -> list[bool]:
    facts = Facts(database)
    kept = []
    for row in rows:
        with database.write() as connection:
            kept.append(facts.put(connection, row).kept)
    return kept


def body(database: Database) -> bytes | None:
    with database.read() as connection:
        found = Facts(database).one(connection, "engine", "Observation", "o1")
    return found.body if found is not None else None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_three_versions_in_any_order_leave_the_last(database: Database, order: tuple[int, ...]) -> None:
    versions = [
        replace(BASE, version=str(n), last_updated=float(n), event=arrival, body=str(n).encode())
        for arrival, n in enumerate(order, start=1)
    ]
    put(database, *versions)
    assert body(database) == b"2"


def test_numeric_versions_decide_where_no_time_is_stated(database: Database) -> None:
    assert put(database, replace(BASE, version="10"), replace(BASE, version="9", event=2, body=b"late")) == [
        True,
        False,
    ]
    assert body(database) == b"1"


def test_arrival_decides_where_nothing_is_stated(database: Database) -> None:
    first, second = replace(BASE, version="a" * 64), replace(BASE, version="b" * 64, event=2, body=b"2")
    assert put(database, first, second) == [True, True]
    assert body(database) == b"2"


def test_a_deleted_resource_is_gone_and_an_older_version_does_not_bring_it_back(database: Database) -> None:
    now = replace(BASE, last_updated=100.0)
    gone = replace(BASE, version="deleted", event=2, deleted=True, patient=None, body=b"")
    late = replace(BASE, version="0", last_updated=50.0, event=3, body=b"late")
    again = replace(BASE, version="3", last_updated=200.0, event=4, body=b"new")
    assert put(database, now, gone, late) == [True, True, False]
    assert body(database) is None
    with database.read() as connection:
        (row,) = Facts(database).of_patient(connection, "Patient/p1")
    assert row.deleted, "whose it was stays known"
    put(database, again)
    assert body(database) == b"new"


def test_a_resource_of_two_senders_counts_once(database: Database) -> None:
    put(database, BASE, replace(BASE, source="other", event=2, body=b"2"))
    with database.read() as connection:
        rows = Facts(database).of_patient(connection, "Patient/p1")
    assert [row.body for row in rows] == [b"2"]


def test_interest_is_found_and_withdrawn_studies_are_not_studies(database: Database) -> None:
    facts = Facts(database)
    put(database, BASE)
    with database.read() as connection:
        assert not facts.of_interest(connection, "Patient/p1")
    study = replace(BASE, resource_type="ImagingStudy", interest="study")
    put(database, study)
    with database.read() as connection:
        assert facts.of_interest(connection, "Patient/p1")
        assert [row.reference for row in facts.studies_of(connection, "Patient/p1")] == ["ImagingStudy/o1"]
    put(database, replace(study, event=9, version="2", interest="withdrawn"))
    with database.read() as connection:
        assert facts.of_interest(connection, "Patient/p1")
        assert facts.studies_of(connection, "Patient/p1") == []


versions = st.builds(
    lambda event, version, updated: replace(BASE, event=event, version=version, last_updated=updated),
    st.integers(1, 50),
    st.sampled_from(["1", "2", "10", "f" * 64]),
    st.none() | st.floats(0, 10),
)


@given(versions, versions)
def test_of_two_different_arrivals_exactly_one_is_later(one: StoredResource, other: StoredResource) -> None:
    if one.event != other.event:
        assert replaces(one, other) is not replaces(other, one)


def test_instants_without_a_zone_order_nothing() -> None:
    assert instant("2024-01-01T00:00:00Z") == 1704067200.0
    assert instant("2024-01-01T00:00:00") is None
    assert instant("soon") is None
    assert instant(None) is None
