"""The whole stack as `vbq up` runs it, in a session of its own: for tests and for benchmarks/chaos.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START_SECONDS = 90.0


def wait_until(probe: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `probe`; AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := probe():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


@dataclass
class Stack:
    """`vbq up` in a session of its own."""

    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything that its processes wrote, of all its lives."""
        return (self.data_dir / "stack.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait for the ready line's truth."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
        mine = {"VBQ_DATA_DIR": str(self.data_dir), "VBQ_PORT": str(self.port), "VBQ_DEV_OPEN": "1"}
        seen = self.log.count("vbq: ready at") if (self.data_dir / "stack.log").exists() else 0
        with (self.data_dir / "stack.log").open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "commands", "up"],
                env={**clean, **mine, **self.environment},
                stdout=sink,
                stderr=sink,
                cwd=ROOT,
                start_new_session=True,
            )
        process = self.process
        wait_until(
            lambda: self.log.count("vbq: ready at") > seen or process.poll() is not None,
            START_SECONDS,
            "the stack's start",
        )
        assert process.poll() is None, self.log

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process = None
        return status

    def kill(self) -> None:
        """kill -9 of the supervisor; its children notice by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def children(self, words: str) -> list[int]:
        """Process ids below the supervisor whose command line holds `words`."""
        assert self.process is not None
        listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
        family = {self.process.pid}
        for _ in range(4):
            family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
        return [int(pid) for pid, _, args in rows if int(pid) in family and words in args]

    def call(
        self, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One HTTP call with a JSON body; status and parsed answer (text where it is no JSON)."""
        body = None if document is None else json.dumps(document).encode()
        kind = {"Content-Type": "application/fhir+json"} if body is not None else {}
        request = urllib.request.Request(self.base_url + path, body, {**kind, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, content = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode(errors="replace")
