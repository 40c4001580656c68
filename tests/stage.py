"""A whole installation that can be broken part by part: the stack behind proxies, its Redis, PostgreSQL and EHR."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gateways.queue import redis_server
from gateways.store.database import Database
from tests.counting_ehr import CountingEhr
from tests.postgres import Postgres
from tests.proxy import Proxy
from tests.stack import Stack, wait_until


class Stage:
    """`database`: sqlite or postgresql. Everything that the stack speaks to is reached through a proxy."""

    def __init__(self, database: str, **environment: str) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="vbqc"))
        self.monitor = Monitor(redis_server.socket_path(self.place / "redis"), self.place / "redis.txt")
        self.redis: subprocess.Popen[bytes] | None = None
        self.start_redis()
        self.redis_proxy = Proxy(redis_server.socket_path(self.place / "redis"))
        self.ehr = CountingEhr()
        self.ehr_proxy = Proxy(("127.0.0.1", self.ehr.port))
        self.postgres: Postgres | None = None
        self.database_proxy: Proxy | None = None
        url = ""
        if database == "postgresql":
            self.postgres = Postgres()
            self.postgres.start()
            self.postgres.create("vbq")
            self.database_proxy = Proxy(self.postgres.socket)
            url = self.postgres.url("vbq", port=self.database_proxy.port)
        given = {
            "VBQ_REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            "VBQ_EHR_BASE_URL": f"http://127.0.0.1:{self.ehr_proxy.port}/fhir",
            "VBQ_DATABASE_URL": url,
            "VBQ_STUDY_ROOTS": json.dumps([str(self.place / "studies")]),
            "VBQ_WORKER_CONCURRENCY": "2",
            "VBQ_CLAIM_SECONDS": "3",
            **environment,
        }
        self.stack = Stack(self.place / "data", environment=given)

    @property
    def database_url(self) -> str:
        """The database, past the proxy."""
        if self.postgres is not None:
            return self.postgres.url("vbq")
        return f"sqlite:///{self.place / 'data' / 'vbq.sqlite3'}"

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        made = Database(self.database_url)
        try:
            yield made
        finally:
            made.close()

    def close(self) -> None:
        if self.stack.process is not None:
            self.stack.stop(signal.SIGTERM)
        for proxy in (self.redis_proxy, self.ehr_proxy, self.database_proxy):
            if proxy is not None:
                proxy.close()
        self.monitor.close()
        self.ehr.close()
        self.kill_redis()
        if self.postgres is not None:
            self.postgres.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    # Redis

    def start_redis(self) -> None:
        (self.place / "redis").mkdir(exist_ok=True)
        self.redis = subprocess.Popen(redis_server.command(self.place / "redis"), start_new_session=True)
        url = redis_server.broker_url("", self.place / "redis")
        wait_until(lambda: redis_server.answers(url), 20, "Redis answering")
        self.monitor.start()

    def kill_redis(self) -> None:
        """kill -9; it keeps nothing on disk, so it comes back empty."""
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait()
            self.redis = None

    def pause_redis(self, seconds: float) -> None:
        """CLIENT PAUSE: it takes connections and commands, and answers none."""
        import redis

        with redis.Redis(unix_socket_path=str(redis_server.socket_path(self.place / "redis"))) as client:
            client.client_pause(int(1000 * seconds))

    # processes of the stack

    def kill(self, words: str) -> None:
        """kill -9 of every process below `vbq up` whose command line holds `words`."""
        for pid in self.stack.children(words):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def working(self) -> list[int]:
        """The worker's children: those that run tasks."""
        parent = next(iter(self.stack.children("workers work")), 0)
        if not parent:
            return []
        listing = subprocess.run(
            ["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return [int(word) for word in listing.stdout.split()]

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """The web service cannot make a file longer than 4 kB, so no write of the database succeeds (SQLite)."""
        pids = self.stack.children("granian")
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        """Somebody else writes to the SQLite file and takes his time."""
        connection = sqlite3.connect(self.place / "data" / "vbq.sqlite3", timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()


class Monitor:
    """Writes down every command that reaches Redis, of all its lives."""

    def __init__(self, path: Path, sink: Path) -> None:
        self._path = path
        self._sink = sink
        self._sink.touch()
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def seen(self) -> str:
        return self._sink.read_text(errors="replace")

    def start(self) -> None:
        """Listen to the Redis that lives now, until it dies."""
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self._path))
        link.sendall(b"MONITOR\r\n")
        link.settimeout(0.5)
        thread = threading.Thread(target=self._listen, args=(link,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        self._closing = True
        for thread in self._threads:
            thread.join(5)

    def _listen(self, link: socket.socket) -> None:
        with link, self._sink.open("ab") as sink:
            while not self._closing:
                try:
                    piece = link.recv(2**16)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not piece:
                    return
                sink.write(piece)
                sink.flush()


def lives(pid: int) -> bool:
    """Whether the process runs (and is no zombie)."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def sleep_until(moment: float) -> None:
    """Until time.monotonic() is `moment`."""
    time.sleep(max(0.0, moment - time.monotonic()))
