"""The embedded Redis."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from gateways.queue import redis_server


def test_the_socket_lies_below_the_data_directory_where_its_path_is_short_enough() -> None:
    assert redis_server.socket_path(Path("/srv/vbq")) == Path("/srv/vbq/redis.sock")


@pytest.mark.parametrize("name", ["x" * 200, "ä" * 60])
def test_a_long_data_directory_gets_a_short_socket_of_its_own(name: str) -> None:
    long, other = Path("/srv") / name, Path("/srv") / (name + "y")
    found = redis_server.socket_path(long)
    assert len(str(found).encode()) <= redis_server.LONGEST_SOCKET_PATH
    assert found.is_relative_to(tempfile.gettempdir())
    assert found == redis_server.socket_path(long) != redis_server.socket_path(other)


def test_a_given_broker_goes_before_the_embedded_one() -> None:
    assert redis_server.broker_url("redis://queue:6379/0", Path("/srv")) == "redis://queue:6379/0"


def test_it_answers_on_its_socket_alone_and_writes_nothing_that_matters(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 120)
    long.mkdir()
    command = redis_server.command(long)
    assert command[command.index("--port") + 1] == "0"
    url = redis_server.broker_url("", long)
    assert not redis_server.answers(url)
    process = subprocess.Popen(command)
    try:
        for _ in range(200):
            if redis_server.answers(url):
                break
        assert redis_server.answers(url)
    finally:
        process.terminate()
        process.wait(10)
    assert not list(redis_server.socket_path(long).parent.glob("*.rdb"))
