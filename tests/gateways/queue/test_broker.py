"""Wake-up calls: sent after the commit, never waited for, and lost without harm."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateways.queue.broker import QUEUES, Sender, Waker, make_app
from gateways.queue.inbox import BATCH, Inbox
from gateways.queue.jobs import Jobs
from gateways.queue.wakeups import Wakeups
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.errors import BrokerUnavailable


def test_the_settings_that_faults_taught() -> None:
    settings = Settings(task_seconds=100, lease_seconds=150)
    app = make_app(settings)
    assert app.conf.task_acks_late is False, "an acknowledgement after Redis came back would end the worker"
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_backend is None
    assert app.conf.broker_transport_options["visibility_timeout"] > 2 * settings.task_seconds
    assert {row.name for row in app.conf.task_queues} == set(QUEUES.values())


def test_calls_are_not_acknowledged_to_redis_and_are_to_rabbitmq() -> None:
    """A failed acknowledgement would leave the worker one place less, for ever."""
    assert {row.no_ack for row in make_app(Settings()).conf.task_queues} == {True}
    app = make_app(Settings(broker_url="amqp://u:p@mq.example//"))
    assert {row.no_ack for row in app.conf.task_queues} == {False}
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.broker_url.startswith("amqp://")
    assert app.conf.broker_transport_options["confirm_publish"]
    assert "visibility_timeout" not in app.conf.broker_transport_options


def test_a_message_names_a_row_and_nothing_else(redis_url: str) -> None:
    import redis

    sender = Sender(Settings(redis_url=redis_url))
    sender.send("measure", 42)
    assert sender.waiting("measure") == 1
    client = redis.Redis.from_url(redis_url.replace("redis+socket", "unix"))
    (message,) = client.lrange(QUEUES["measure"], 0, -1)
    client.flushall()
    client.close()
    sender.close()
    assert b'"task": "vbq.measure"' in message
    assert b'"argsrepr": "[42]"' in message


def test_a_dead_broker_is_noticed_soon(tmp_path: Path) -> None:
    sender = Sender(Settings(redis_url=f"redis+socket://{tmp_path}/nobody.sock"))
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        sender.send("event", 1)
    assert time.monotonic() - begun < 3.0


def test_waking_returns_at_once_and_announces_one_event_for_many() -> None:
    sent: list[tuple[str, int]] = []
    gate = threading.Event()

    def slow(kind: str, row: int) -> None:
        gate.wait(5)
        sent.append((kind, row))

    waker = Waker(Settings(), send=slow)
    begun = time.monotonic()
    waker.wake("event", range(2 * BATCH))
    waker.wake("measure", [7, 8])
    assert time.monotonic() - begun < 0.5
    gate.set()
    waker.close()
    events = [row for kind, row in sent if kind == "event"]
    assert 2 <= len(events) <= 3
    assert [row for kind, row in sent if kind == "measure"] == [7, 8]


def test_a_relay_survives_a_dead_broker() -> None:
    sent: list[int] = []
    broken = [True]

    def send(_kind: str, row: int) -> None:
        if broken[0]:
            raise BrokerUnavailable("away")
        sent.append(row)

    waker = Waker(Settings(), send=send)
    waker.wake("assess", [1])
    time.sleep(0.2)
    broken[0] = False
    waker.wake("assess", [2])
    waker.close()
    assert sent == [2]


def test_the_sweeper_finds_what_nobody_took_and_says_it_again_later(database: Database, clock: Any, event: Any) -> None:
    inbox, wakeups = Inbox(database, clock=clock), Wakeups(database, clock=clock)
    inbox.accept([event(f"Observation/o{n}") for n in range(BATCH + 1)])
    assert wakeups.due() == [], "the relay has just announced them"
    clock.pass_(2.1)
    assert len(wakeups.due()) == 2, "one call for each batch"
    assert wakeups.due() == []
    clock.pass_(2.1)
    assert len(wakeups.due()) == 2
    inbox.claim()
    inbox.claim()
    clock.pass_(2.1)
    assert wakeups.due() == [], "somebody is at work"
    clock.pass_(60)
    assert len(wakeups.due()) == 2, "and died"


def test_the_sweeper_finds_jobs_when_they_are_due(database: Database, clock: Any) -> None:
    jobs, wakeups = Jobs(database, clock=clock), Wakeups(database, clock=clock)
    with database.write() as connection:
        row = jobs.bump(connection, "assess", "Patient/p1", "Patient/p1", quiet_seconds=1.0, longest_seconds=2.0)
    assert wakeups.due() == []
    clock.pass_(1.0)
    assert wakeups.due() == [("assess", row)]
    job = jobs.claim(row)
    assert job is not None
    clock.pass_(5)
    assert wakeups.due() == []
    wakeups.free_all()
    clock.pass_(5)
    assert wakeups.due() == [("assess", row)]


def test_one_sweeper_leads_until_it_leaves_or_dies(database: Database, clock: Any) -> None:
    wakeups = Wakeups(database, clock=clock)
    assert wakeups.lead("a", seconds=5)
    assert not wakeups.lead("b", seconds=5)
    assert wakeups.lead("a", seconds=5)
    wakeups.leave("a")
    assert wakeups.lead("b", seconds=5)
    clock.pass_(6)
    assert wakeups.lead("a", seconds=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"redis_url": "amqp://mq.example//"}, "VBQ_BROKER_URL"), ({"broker_url": "redis://r.example"}, "VBQ_REDIS_URL")],
)
def test_a_broker_in_the_place_of_the_other_is_refused_in_words(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**given)  # type: ignore[arg-type]


def test_a_broker_that_is_away_is_asked_again_soon_however_long_it_was_away(tmp_path: Path) -> None:
    tries: list[int] = []
    app = make_app(Settings(data_dir=tmp_path), trying=lambda: tries.append(1))
    pauses: list[float] = []

    def refused(_error: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    with app.connection_for_read() as connection, pytest.raises(KeyboardInterrupt):
        connection.clone().ensure_connection(refused, None, callback=lambda: None)
    assert pauses == [0.5, 1.0, 1.5]
    assert len(tries) == 3
