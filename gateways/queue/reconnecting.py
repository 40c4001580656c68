"""Celery's connection to the broker, with less patience between tries. Imported where Celery is.

A worker that lost its broker asks again after 2, 4, 6, ... 30 seconds by Celery's own choice, which no setting reaches:
a broker that was away for a minute would be heard of half a minute after it is back.
"""

from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 2.0


class Reconnecting(Connection):
    """Asks again after half a second, then after at most two, and says each time that its owner is alive."""

    trying: Callable[[], None] = staticmethod(lambda: None)

    def ensure_connection(self, errback: Any = None, *args: Any, **given: Any) -> Any:
        def refused(error: Exception, pause: float) -> None:
            self.trying()
            if errback is not None:
                errback(error, pause)

        step = {"interval_start": FIRST_PAUSE_SECONDS, "interval_step": 0.5, "interval_max": LONGEST_PAUSE_SECONDS}
        return super().ensure_connection(refused, *args, **{**given, **step})


def with_connection(trying: Callable[[], None]) -> type[AMQP]:
    """What a Celery application takes as `amqp`: connections that call `trying` at each try in vain."""
    made = type("Told", (Reconnecting,), {"trying": staticmethod(trying)})
    return type("Patient", (AMQP,), {"Connection": made, "BrokerConnection": made})
