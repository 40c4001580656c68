"""The real service for a benchmark: granian as `vbq serve` starts it, over a fresh SQLite file (WAL, FULL)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from commands.processes import serve_command
from gateways.settings import Settings
from gateways.store.database import Database


class Served(NamedTuple):
    settings: Settings
    port: int
    pid: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def served(
    config: Path | None = None, *, open_: bool = True, directory: Path | None = None, database: str | None = None
) -> Iterator[Served]:
    """The service until the block ends, with its tables made. `directory`: where its data lies. `database`: a URL."""
    with tempfile.TemporaryDirectory() as temporary:
        port = free_port()
        given: dict[str, Any] = {"data_dir": directory or Path(temporary) / "data", "port": port, "dev_open": open_}
        given |= {"database_url": database} if database else {}
        settings = Settings(**given, config=config, log_level="ERROR")
        Database(settings.database).migrate()
        variables = {f"VBQ_{name.upper()}": str(value) for name, value in given.items()}
        variables |= {"VBQ_LOG_LEVEL": "ERROR", **({"VBQ_CONFIG": str(config)} if config else {})}
        process = subprocess.Popen(
            serve_command(settings), env={**os.environ, **variables}, start_new_session=True, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield Served(settings, port, process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Return as soon as `url` answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    print("the service did not start", file=sys.stderr)
    raise SystemExit(1)
