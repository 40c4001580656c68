"""A clock that tests turn, and events made from little."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from schemas.events import IncomingEvent


@dataclass
class Clock:
    """Seconds since 1970, as far as the code under test knows."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def event() -> Callable[..., IncomingEvent]:
    def make(resource: str = "Observation/o1", version: str = "1", **changes: object) -> IncomingEvent:
        resource_type, _, resource_id = resource.partition("/")
        given = {
            "source": "engine",
            "resource_type": resource_type,
            "resource_id": resource_id,
            "version": version,
            "patient": "Patient/p1",
            "body": b"{}",
        }
        return IncomingEvent.model_validate({**given, **changes})

    return make
