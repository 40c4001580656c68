"""Whether a process that runs also works: it touches its heartbeat's file, it answers when asked, it is not stopped.

Silence is counted by the looks of the supervisor, not by a clock alone: one who was held up himself (a busy machine, a
laptop that slept) has not seen anybody be silent meanwhile.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from commands.listeners import PROC, members

LONGEST_STEP_SECONDS = 0.5
ASK_SECONDS = 1.0
QUESTION = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"


class Silence:
    """For how many seconds there was no sign; each call is a look."""

    def __init__(self, sign: Callable[[], bool]) -> None:
        """`sign`: whether there was one since it was last asked. It returns at once."""
        self._sign = sign
        self._silent = 0.0
        self._looked_at = time.monotonic()
        self.heard_at = -1.0
        """When the last sign was seen, by time.monotonic()."""

    def __call__(self) -> float:
        now = time.monotonic()
        step = min(now - self._looked_at, LONGEST_STEP_SECONDS)
        self._looked_at = now
        if self._sign():
            self._silent, self.heard_at = 0.0, now
        else:
            self._silent += step
        return self._silent


def beats(heartbeat: Path) -> Callable[[], bool]:
    """Signs are that the file's time changes, in whatever direction: the clock may jump."""

    def when() -> float:
        return heartbeat.stat().st_mtime if heartbeat.exists() else 0.0

    touched = [when()]

    def sign() -> bool:
        now = when()
        before, touched[0] = touched[0], now
        return now != before

    return sign


class Answers:
    """Signs are answers over HTTP, whatever they say. It asks once a second and never waits."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._asked: socket.socket | None = None
        self._told = False
        self._again_at = 0.0

    def __call__(self) -> bool:
        if self._asked is None:
            if time.monotonic() >= self._again_at:
                self._again_at = time.monotonic() + ASK_SECONDS
                self._connect()
            return False
        try:
            return self._answered(self._asked)
        except OSError:
            self._end()
            return False

    def _connect(self) -> None:
        self._asked = socket.socket(self._family)
        self._told = False
        self._asked.setblocking(False)
        with contextlib.suppress(OSError):  # in progress, or refused: the next look tells
            self._asked.connect(self._address)

    def _answered(self, asked: socket.socket) -> bool:
        readable, writable, _ = select.select([asked], [asked], [], 0.0)
        if writable and not self._told:
            asked.sendall(QUESTION)
            self._told = True
        if not readable:
            return False
        found = asked.recv(16).startswith(b"HTTP/")
        self._end()
        return found

    def _end(self) -> None:
        if self._asked is not None:
            self._asked.close()
            self._asked = None


def stopped(group: int, *, leader_only: bool) -> bool:
    """Whether a process of the group is stopped (SIGSTOP); False where the kernel does not tell (not Linux)."""
    if not PROC.is_dir():
        return False
    return any(_state(pid) in ("T", "t") for pid in ([group] if leader_only else members(group)))


def _state(pid: int) -> str:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def local(host: str) -> str:
    """Where a server that listens on `host` is reached from its own machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
