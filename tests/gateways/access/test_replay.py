"""A token counts once, at all replicas; without Redis, once at each, and loudly."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.access.replay import SharedSeenTokens
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


def test_47_a_connection_that_was_lost_is_made_anew_and_a_late_answer_counts_for_nobody(tmp_path: Path) -> None:
    with redis_that(["+OK", "close", "+OK", "late", "+OK"]) as (url, asked):
        seen = SharedSeenTokens(Settings(data_dir=tmp_path, redis_url=url))
        until = time.time() + 60
        assert seen.first_time("i", "a", until)
        assert seen.first_time("i", "b", until), "asked again on a new connection"
        assert seen.first_time("i", "c", until), "no answer in time: its own memory decides"
        assert seen.away
        assert len(set(asked)) == 3
        assert asked[1] == asked[2]
        seen._away_until = 0.0  # instead of waiting for five seconds
        assert seen.first_time("i", "d", until)
        assert not seen.away
        assert all(row.startswith(b"*6\r\n$3\r\nSET\r\n") and b"NX" in row and b"EX" in row for row in asked)


@contextlib.contextmanager
def redis_that(script: list[str]) -> Iterator[tuple[str, list[bytes]]]:
    """A Redis that does with each SET what the script says next; `late` answers after the client has given up."""
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    steps = iter(script)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

    def speak(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                if b"SET\r\n" not in data or b"NX" not in data:  # the client's greetings
                    connection.sendall(b"+OK\r\n" * data.count(b"*"))
                    continue
                asked.append(data)
                step = next(steps)
                if step == "close":
                    return
                if step == "late":
                    time.sleep(0.5)
                connection.sendall(b"+OK\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0?protocol=2", asked
    finally:
        server.close()
