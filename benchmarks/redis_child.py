"""The embedded Redis of a data directory, for a benchmark that runs without `vbq up`."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from gateways.queue.redis_server import broker_url, command

READY_SECONDS = 10.0


@contextlib.contextmanager
def redis_child(data_dir: Path) -> Iterator[None]:
    """Redis until the block ends; ready when it begins."""
    import redis

    process = subprocess.Popen(command(data_dir), start_new_session=True)
    client = redis.Redis.from_url(broker_url("", data_dir).replace("redis+socket://", "unix://"))
    until = time.monotonic() + READY_SECONDS
    try:
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield
    finally:
        client.close()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
