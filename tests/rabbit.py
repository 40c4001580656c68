"""A RabbitMQ of the test's own, where Debian's package is installed: on free ports, in a temporary directory."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.stack import wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Rabbit:
    """One node and its own port mapper (epmd), so that nothing is left behind."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="vbqm"))
        self.port, distribution, mapper = free_port(), free_port(), free_port()
        self._environment = {
            **os.environ,
            "HOME": str(self.place),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "vbqtest@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.place / "db"),
            "RABBITMQ_LOG_BASE": str(self.place / "log"),
            "RABBITMQ_PID_FILE": str(self.place / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.place / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.place / "none"),
        }
        (self.place / "log").mkdir()
        self._quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._mapper = subprocess.Popen(["epmd", "-port", str(mapper)], env=self._environment, **self._quiet)
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        self._node = subprocess.Popen([str(SERVER)], env=self._environment, start_new_session=True, **self._quiet)
        wait_until(self.answers, 120, "RabbitMQ answering")

    def kill(self) -> None:
        """kill -9, as a power cut."""
        if self._node is not None:
            os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait()
            self._node = None

    def close(self) -> None:
        self.kill()
        self._mapper.kill()
        self._mapper.wait()
        shutil.rmtree(self.place, ignore_errors=True)

    def answers(self) -> bool:
        """Whether it speaks AMQP and lets us in."""
        import amqp

        try:
            with amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=2, read_timeout=5):
                return True
        except (OSError, amqp.AMQPError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
