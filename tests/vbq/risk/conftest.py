"""Models to ask: the published one, and small ones that can be reckoned by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.model import ModelArtefact
from vbq.risk.published import build


@pytest.fixture(scope="session")
def published() -> ModelArtefact:
    return build()


@pytest.fixture
def variant(published) -> Callable[..., ModelArtefact]:
    def make(**changes: Any) -> ModelArtefact:
        return published.but(**changes)

    return make
