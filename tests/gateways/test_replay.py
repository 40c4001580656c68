"""A token counts once, at all replicas; without Redis, once at each, and loudly."""

import logging
import time
from pathlib import Path

import pytest

from gateways.replay import SharedSeenTokens
from gateways.settings import Settings


def test_47_a_jti_used_at_one_replica_is_refused_at_the_other(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=redis_url)
    one, two = SharedSeenTokens(settings), SharedSeenTokens(settings)
    until = time.time() + 60
    assert one.first_time("https://a.example", "j1", until)
    assert not two.first_time("https://a.example", "j1", until)
    assert not one.first_time("https://a.example", "j1", until)
    assert two.first_time("https://b.example", "j1", until), "another issuer's jti is another token"


def test_47_without_redis_each_process_goes_by_its_own_memory_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = SharedSeenTokens(Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    until = time.time() + 60
    with caplog.at_level(logging.ERROR):
        assert seen.first_time("i", "secret-jti", until)
        began = time.monotonic()
        assert not seen.first_time("i", "secret-jti", until)
        assert seen.first_time("i", "another", until)
    assert seen.away
    assert time.monotonic() - began < 0.1, "a Redis that is away is not asked again at once"
    assert [row.levelname for row in caplog.records] == ["ERROR"]
    assert "REDIS IS AWAY" in caplog.text
    assert "secret-jti" not in caplog.text
