"""What a sender names and does not send: fetched at its server, searched for, its gaps closed.

On both databases where that could matter.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select, update

from gateways.fhir.subscriptions import Subscription, Subscriptions
from gateways.store.ehr_tables import circuits
from gateways.store.subscription_tables import subscriptions
from gateways.store.tables import jobs, resources
from schemas.fhir.events import events_of
from tests import records
from tests.services.fhir_server import FhirServer, fhir_server
from workers.notices import GAP_SECONDS

Json = dict[str, Any]
one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # what it is about is not the store


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as here:
        yield here


class Site:
    """A sender whose server we may read, and our workers."""

    def __init__(self, hands: Any, server: FhirServer) -> None:
        self.hands, self.server = hands, server
        self.clock = 0

    def notify(self, document: Json | None, **changes: Any) -> None:
        """Take a notification as intake does; None is a rest-hook without payload."""
        self.clock += 1
        body = b"" if document is None else json.dumps(document).encode()
        given = {"source": "ehr", "base": self.server.base, "several": False, "readable": True, **changes}
        parsed = events_of(body, arrival=f"2026-11-22T10:00:{self.clock:02d}+00:00", **given)
        assert parsed.notice is not None
        self.hands.bench.inbox.accept([*parsed.events, parsed.notice])

    def event(self, number: int, *focus: str, kind: str = "event-notification", **changes: Any) -> Json:
        """A Backport R4 notification of one event."""
        parts = [{"name": "event-number", "valueString": str(number)}]
        parts += [{"name": "focus", "valueReference": {"reference": f"{self.server.base}/{one}"}} for one in focus]
        told = {"name": "notification-event", "part": parts}
        return notification(self.server.base, kind, number, [told], **changes)

    def subscription(self, key: str = "s1") -> Subscription:
        with self.hands.bench.database.read() as connection:
            found = Subscriptions(self.hands.bench.database).one(connection, "ehr", key)
        assert found is not None
        return found

    def kept(self) -> dict[str, bool]:
        """What the store has of the sender: Type/id, and whether it is deleted."""
        with self.hands.bench.database.read() as connection:
            rows = connection.execute(select(resources)).all()
        return {f"{row.resource_type}/{row.resource_id}": row.deleted for row in rows if row.source == "ehr"}

    def fetches(self) -> list[Any]:
        with self.hands.bench.database.read() as connection:
            return list(connection.execute(select(jobs).where(jobs.c.kind == "fetch").order_by(jobs.c.id)))

    def gap_is_old(self) -> None:
        """Time passes: a number that was late is missing now."""
        with self.hands.bench.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.kind == "fetch").values(due_at=0.0))

    def circuit_is_over(self) -> None:
        """More time passes: a server that was away may be asked again."""
        with self.hands.bench.database.write() as connection:
            connection.execute(update(circuits).values(open_until=0.0, probe_until=None))


def notification(base: str, kind: str, total: int, told: list[Json], sent: str = "2026-11-22T10:00:00Z") -> Json:
    head = [
        {"name": "subscription", "valueReference": {"reference": f"{base}/Subscription/s1"}},
        {"name": "status", "valueCode": "active"},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(total)},
    ]
    status = {"resourceType": "Parameters", "parameter": [*head, *told]}
    entry = [{"fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111", "resource": status}]
    return {"resourceType": "Bundle", "type": "history", "timestamp": sent, "entry": entry}


@pytest.fixture
def site(make_hands: Callable[..., Any], server: FhirServer, tmp_path: Path) -> Iterator[Site]:
    sender = {"name": "ehr", "bearer_sha256": "0" * 64, "fhir_base_url": server.base, "reads": {"kind": "none"}}
    path = tmp_path / "vbq.yaml"
    path.write_text(yaml.safe_dump({"senders": [sender]}))
    made = Site(make_hands(config=path), server)
    yield made
    made.hands.bench.servers.close()


def versioned(resource: Json, version: int = 1, at: str = "2026-11-22T09:59:00Z") -> Json:
    return {**resource, "meta": {"versionId": str(version), "lastUpdated": at}}


def test_what_an_id_only_notification_names_is_read_and_its_patient_with_it(site: Site) -> None:
    study = versioned(records.imaging_study("p1"))
    site.server.answers |= {"ImagingStudy/s-p1": (200, study), "Patient/p1": (200, versioned(records.patient("p1")))}
    site.notify(site.event(1, "ImagingStudy/s-p1"))
    site.hands.work()
    assert site.kept() == {"ImagingStudy/s-p1": False, "Patient/p1": False}
    assert [path for path, _ in site.server.asked] == ["ImagingStudy/s-p1", "Patient/p1"]
    assert site.fetches() == [], "nothing is kept of what was done"
    assert site.subscription().missing == 0


@one_database
def test_what_is_gone_was_deleted(site: Site) -> None:
    site.server.answers["Observation/t-p1"] = (200, versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.notify(site.event(1, "Observation/t-p1"))
    site.hands.work()
    site.server.answers["Observation/t-p1"] = (410, {"resourceType": "OperationOutcome"})
    site.notify(site.event(2, "Observation/t-p1"))
    site.hands.work()
    assert site.kept()["Observation/t-p1"] is True


@one_database
def test_a_resource_that_reads_do_not_find_yet_gets_some_looks_before_it_counts_as_deleted(site: Site) -> None:
    site.notify(site.event(1, "Observation/t-p1"))
    site.hands.work()
    [job] = site.fetches()
    assert (job.state, job.attempts, site.kept()) == ("due", 1, {})
    site.server.answers |= {"Observation/t-p1": (200, versioned(records.t_score("p1")))}
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.gap_is_old()
    site.hands.work()
    assert site.kept() == {"Observation/t-p1": False, "Patient/p1": False}


@one_database
def test_a_server_that_is_away_is_waited_for_however_long(site: Site) -> None:
    site.server.answers["Observation/t-p1"] = (503, {"resourceType": "OperationOutcome"})
    site.notify(site.event(1, "Observation/t-p1"))
    for _ in range(site.hands.bench.settings.max_attempts * 5):
        site.gap_is_old()
        site.hands.work()
    [job] = site.fetches()
    assert (job.state, job.reason_code) == ("due", "ehr-circuit-open")
    assert job.attempts <= site.hands.bench.settings.max_attempts
    assert len(site.server.asked) < 15, "it is not asked all the time"
    site.circuit_is_over()
    site.server.answers["Observation/t-p1"] = (200, versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.gap_is_old()
    site.hands.work()
    assert site.kept()["Observation/t-p1"] is False


@one_database
def test_an_answer_that_is_another_resource_is_a_dead_letter(site: Site) -> None:
    site.server.answers["Observation/t-p1"] = (200, versioned(records.t_score("p2")))
    site.notify(site.event(1, "Observation/t-p1"))
    site.hands.work()
    [job] = site.fetches()
    assert (job.state, job.reason_code) == ("dead", "ehr-reply")


@one_database
def test_a_rest_hook_without_payload_searches_every_type_since_it_last_knew_all(site: Site) -> None:
    site.server.bundle("Patient?", versioned(records.patient("p1")))
    site.server.bundle("Observation?", versioned(records.t_score("p1")))
    for kind in ("ImagingStudy", "Condition", "Endpoint"):
        site.server.bundle(f"{kind}?")
    site.notify(None)
    site.hands.work()
    assert set(site.kept()) == {"Observation/t-p1", "Patient/p1"}
    assert all("_lastUpdated=ge20" in path for path, _ in site.server.asked)
    asked = len(site.server.asked)
    site.notify(None)
    site.hands.work()
    assert len(site.server.asked) > asked, "the next one is another search"
    assert site.subscription("any").search_from is None


@one_database
def test_an_empty_notification_searches_and_a_type_that_the_server_lacks_is_passed_over(site: Site) -> None:
    site.server.bundle("Observation?", versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.notify(site.event(1))
    site.hands.work()
    assert set(site.kept()) == {"Observation/t-p1", "Patient/p1"}, "its patient was read, since no search found her"


def test_a_gap_in_the_numbers_is_closed_by_asking_for_the_events(site: Site) -> None:
    for name in ("p1", "p2", "p3"):
        site.server.answers[f"Observation/t-{name}"] = (200, versioned(records.t_score(name)))
        site.server.answers[f"Patient/{name}"] = (200, versioned(records.patient(name)))
    site.notify(site.event(1, "Observation/t-p1"))
    site.notify(site.event(4, "Observation/t-p3"))
    site.hands.work()
    assert site.subscription().numbers.missing == ((2, 3),)
    assert "$events" not in str(site.server.asked), f"not within {GAP_SECONDS} s: they may be on their way"
    reply = notification(
        site.server.base,
        "query-event",
        4,
        [
            {
                "name": "notification-event",
                "part": [
                    {"name": "event-number", "valueString": str(number)},
                    {"name": "focus", "valueReference": {"reference": "Observation/t-p2"}},
                ],
            }
            for number in (2, 3)
        ],
    )
    site.server.answers["Subscription/s1/$events"] = (200, reply)
    site.gap_is_old()
    site.hands.work()
    assert "Observation/t-p2" in site.kept()
    assert site.subscription().numbers.missing == ()
    assert "Subscription/s1/$events?eventsSinceNumber=2&eventsUntilNumber=3&content=full-resource" in [
        path for path, _ in site.server.asked
    ]
    assert not [path for path, _ in site.server.asked if "_lastUpdated" in path]


@one_database
def test_a_gap_is_closed_by_a_search_where_the_server_has_no_such_operation(site: Site) -> None:
    site.server.answers["Observation/t-p1"] = (200, versioned(records.t_score("p1")))
    for name in ("p1", "p2"):
        site.server.answers[f"Patient/{name}"] = (200, versioned(records.patient(name)))
    site.server.bundle("Observation?", versioned(records.t_score("p2")))
    site.notify(site.event(1, "Observation/t-p1", sent="2026-11-22T08:00:00Z"))
    site.notify(site.event(3, "Observation/t-p1", sent="2026-11-22T10:00:00Z"))
    site.hands.work()
    site.gap_is_old()
    site.hands.work()
    assert "Observation/t-p2" in site.kept()
    assert site.subscription().numbers.missing == ()
    since = next(path for path, _ in site.server.asked if path.startswith("Observation?"))
    assert "_lastUpdated=ge2026-11-22T07:55:00" in since, "from when nothing was missing, less the overlap"


def test_a_heartbeat_tells_of_events_that_never_came(site: Site) -> None:
    site.server.bundle("Observation?", versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.notify(notification(site.server.base, "handshake", 0, [], sent="2026-11-22T08:00:00Z"))
    site.hands.work()
    assert site.subscription().handshake_at is not None
    site.notify(notification(site.server.base, "heartbeat", 2, [], sent="2026-11-22T09:00:00Z"))
    site.hands.work()
    assert site.subscription().missing == 2
    site.gap_is_old()
    site.hands.work()
    assert site.subscription().missing == 0
    assert "Observation/t-p1" in site.kept()


@one_database
def test_a_sender_that_counts_anew_is_noticed_and_a_search_brings_what_got_lost(site: Site) -> None:
    site.server.bundle("Observation?", versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.notify(notification(site.server.base, "heartbeat", 0, [], sent="2026-11-22T08:00:00Z"))
    site.notify(site.event(5, "Practitioner/x", sent="2026-11-22T09:00:00Z"))
    site.notify(site.event(1, "Practitioner/x", sent="2026-11-22T10:00:00Z"))
    site.hands.work()
    found = site.subscription()
    assert (found.resets, found.numbers.top, found.numbers.missing, found.search_from) == (1, 1, (), None)
    assert "Observation/t-p1" in site.kept()
    assert not [path for path, _ in site.server.asked if "$events" in path], "old numbers mean nothing any more"
    site.notify(site.event(4, "Practitioner/x", sent="2026-11-22T08:30:00Z"))
    site.hands.work()
    assert site.subscription().resets == 1, "a late one does not begin a new count"


@one_database
def test_a_search_goes_on_where_the_time_was_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [versioned(records.t_score("p1", name=f"o{i}"), at=f"2026-11-22T09:00:0{i}Z") for i in range(2)]
    last = versioned(records.t_score("p1", name="o9"), at="2026-11-22T09:00:09Z")
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    site.server.bundle("Observation?", *first, following=f"{site.server.base}/Observation?page=2")
    site.server.bundle("Observation?page=2", last)
    site.server.bundle("Observation?_lastUpdated=ge2026-11-22T09:00:01Z", first[1], last)
    monkeypatch.setattr("workers.fetching.SEARCH_SHARE", 0.0)
    site.notify(None)
    site.hands.read_events()
    for _ in range(4):
        site.gap_is_old()
        site.hands.work()
    assert {"Observation/o0-p1", "Observation/o1-p1", "Observation/o9-p1"} <= set(site.kept())
    assert site.subscription("any").search_from is None
    assert "Observation?page=2" not in [path for path, _ in site.server.asked], "the second run began at the last one"


@one_database
def test_what_a_search_finds_and_cannot_take_becomes_a_dead_letter(site: Site) -> None:
    bad = versioned({**records.t_score("p1"), "status": "bogus"})
    site.server.bundle("Observation?", bad)
    site.notify(None)
    site.hands.work()
    assert [row.resource for row in site.hands.bench.inbox.dead()] == ["Observation/t-p1"]


def test_a_notification_twice_is_one_row_and_replaying_it_changes_nothing(site: Site) -> None:
    site.server.answers["Observation/t-p1"] = (200, versioned(records.t_score("p1")))
    site.server.answers["Patient/p1"] = (200, versioned(records.patient("p1")))
    once = site.event(1, "Observation/t-p1")
    site.notify(once)
    site.notify(once)
    site.hands.work()
    before = site.kept()
    rows = site.hands.bench.inbox.list(count=100)
    assert len([row for row in rows if row.interaction == "notice"]) == 1
    site.hands.bench.inbox.replay([row.id for row in rows])
    site.hands.work()
    assert site.kept() == before
    with site.hands.bench.database.read() as connection:
        [row] = connection.execute(select(subscriptions)).all()
    assert (row.top, row.missing, row.resets) == (1, "[]", 0)
