"""RabbitMQ in the place of Redis for Celery's messages: the same work, and the same calm when it dies."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateways.queue.broker import Sender
from gateways.settings import Settings
from schemas.errors import BrokerUnavailable
from tests import records
from tests.rabbit import SERVER, Rabbit
from tests.stack import wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not SERVER.exists(), reason="RabbitMQ (Debian's rabbitmq-server) is not installed here"),
]


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    node = Rabbit()
    try:
        node.start()
        yield node
    finally:
        node.close()


def test_an_event_becomes_a_risk_over_rabbitmq_and_after_its_death(own_stack: Any, rabbit: Rabbit) -> None:
    stack = own_stack
    stack.environment["VBQ_BROKER_URL"] = rabbit.url
    stack.start()

    def assessed(patient: str) -> list[Any]:
        _, found = stack.call("GET", f"/fhir/RiskAssessment?patient=Patient/{patient}")
        entries: list[Any] = found.get("entry", [])
        return entries

    status, _ = stack.call("POST", "/events", records.bundle(records.patient("a"), records.t_score("a")))
    assert status == 202
    wait_until(lambda: assessed("a"), 60, "the assessment")
    rabbit.kill()
    status, _ = stack.call("POST", "/events", records.bundle(records.patient("b"), records.t_score("b")))
    assert status == 202, "an event is accepted without a broker"
    rabbit.start()
    wait_until(lambda: assessed("b"), 120, "the assessment of what came while the broker was away")


def test_a_sender_counts_what_waits_and_gives_up_soon(rabbit: Rabbit) -> None:
    sender = Sender(Settings(broker_url=rabbit.url))
    sender.send("fetch", 1)
    wait_until(lambda: sender.waiting("fetch") == 1, 10, "the message in its queue")
    rabbit.kill()
    begun = time.monotonic()

    def refused() -> bool:
        try:
            sender.send("fetch", 2)
        except BrokerUnavailable:
            return True
        return False

    wait_until(refused, 20, "a sender that knows")  # a first call may still go into a buffer
    assert time.monotonic() - begun < 20.0
    sender.close()
