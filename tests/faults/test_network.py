"""A network that is slow, cut or half-open, between us and the broker or PostgreSQL: soon an error, never a hang."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.queue.broker import Sender
from gateways.queue.inbox import Inbox
from gateways.queue.wake_channel import WakeChannel
from gateways.settings import Settings
from gateways.store.database import Database
from gateways.store.patient_connection import PatientConnection
from schemas.errors import BrokerUnavailable, StoreUnavailable
from schemas.events import IncomingEvent
from tests.proxy import Proxy

SOON_SECONDS = 8.0


def an_event(name: str) -> IncomingEvent:
    return IncomingEvent(
        source="s", resource_type="Patient", resource_id=name, version="1", patient=f"Patient/{name}", body=b"{}"
    )


@pytest.fixture
def redis_proxy(redis_url: str) -> Iterator[Proxy]:
    proxy = Proxy(Path(redis_url.removeprefix("redis+socket://")))
    yield proxy
    proxy.close()


@pytest.fixture
def postgres_proxy(postgres_url: str) -> Iterator[Proxy]:
    proxy = Proxy(Path(postgres_url.partition("host=")[2]) / ".s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def far_database(postgres_url: str, postgres_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """PostgreSQL behind the proxy, with less patience than in service."""
    monkeypatch.setattr(PatientConnection, "patience", 1.0)
    name = postgres_url.partition("@/")[2].partition("?")[0]
    url = f"postgresql://postgres@127.0.0.1:{postgres_proxy.port}/{name}?sslmode=disable&gssencmode=disable"
    made = Database(url)
    made.migrate()
    yield made
    made.close()


def test_a_half_open_redis_is_given_up_soon_and_used_again_when_it_is_back(redis_proxy: Proxy) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{redis_proxy.port}/0")
    sender, channel = Sender(settings), WakeChannel(settings)
    sender.send("publish", 1)
    channel.publish("event", 1)
    redis_proxy.mode = "hold"
    for send in (lambda: sender.send("publish", 2), lambda: channel.publish("event", 2)):
        begun = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            send()
        assert time.monotonic() - begun < SOON_SECONDS
    redis_proxy.mode = "pass"
    redis_proxy.cut()
    sent = False
    until = time.monotonic() + SOON_SECONDS
    while not sent and time.monotonic() < until:
        try:
            sender.send("publish", 3)
            channel.publish("event", 3)
            sent = True
        except BrokerUnavailable:
            time.sleep(0.1)
    assert sent
    sender.close()
    channel.close()


def test_a_half_open_postgresql_is_given_up_and_nothing_is_accepted_in_vain(
    far_database: Database, postgres_proxy: Proxy
) -> None:
    """Invariant 8: what was answered is there; what hung is an error, and may be sent again."""
    inbox = Inbox(far_database)
    [first] = inbox.accept([an_event("before")])
    postgres_proxy.mode = "hold"
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        inbox.accept([an_event("meanwhile")])
    assert time.monotonic() - begun < SOON_SECONDS
    postgres_proxy.mode = "pass"
    postgres_proxy.cut()
    [again] = inbox.accept([an_event("meanwhile")])
    assert again.event != first.event
    assert inbox.stats()["accepted"] == 2
    inbox.close()


def test_a_cut_in_mid_transaction_writes_nothing(far_database: Database, postgres_proxy: Proxy) -> None:
    inbox = Inbox(far_database)
    inbox.accept([an_event("first")])

    def half() -> None:
        with far_database.write() as connection:
            inbox._insert(connection, [an_event("half")])
            postgres_proxy.cut()

    with pytest.raises(StoreUnavailable):
        half()
    assert inbox.stats()["accepted"] == 1
    inbox.close()


def test_a_slow_network_costs_time_and_nothing_else(far_database: Database, postgres_proxy: Proxy) -> None:
    postgres_proxy.delay_seconds = 0.03
    inbox = Inbox(far_database)
    receipts = inbox.accept([an_event(str(number)) for number in range(20)])
    assert len({row.event for row in receipts}) == 20
    postgres_proxy.delay_seconds = 0.0
    inbox.close()
