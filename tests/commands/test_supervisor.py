"""Children that crash, freeze, are replaced and stopped. They are small programs; tests/faults runs the real ones."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import supervisor as module
from commands.listeners import listens
from commands.signs_of_life import Answers, Silence, beats, stopped
from commands.supervisor import Child, Supervisor
from tests.stack import wait_until
from tests.stage import lives

STAYS = "import time\nwhile True: time.sleep(0.05)"
DRAINS = """
import pathlib, signal, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
pathlib.Path(sys.argv[1], str(__import__("os").getpid())).touch()
while not ended: time.sleep(0.01)
time.sleep(0.5)
pathlib.Path(sys.argv[1], "drained").touch()
"""


@pytest.fixture
def watched() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.stop()


def child(program: str, *arguments: str, **given: object) -> Child:
    return Child("part", [sys.executable, "-c", program, *arguments], os.environ, **given)  # type: ignore[arg-type]


def tend_until(watched: Supervisor, probe: object, what: str) -> None:
    def step() -> bool:
        watched.tend()
        return bool(probe())  # type: ignore[operator]

    wait_until(step, 20, what)


def pid_of(part: Child) -> int:
    assert part.process is not None
    return part.process.pid


def test_what_was_killed_is_started_again(watched: Supervisor) -> None:
    part = child(STAYS)
    watched.start(part)
    before = pid_of(part)
    os.kill(before, signal.SIGKILL)
    tend_until(watched, lambda: part.alive and pid_of(part) != before, "a new process")


def test_what_is_frozen_is_killed_and_started_again(watched: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_STOP_SECONDS", 0.2)
    monkeypatch.setattr(module, "STOP_LOOK_SECONDS", 0.05)
    part = child(STAYS, stopped=lambda pid: stopped(pid, leader_only=False))
    watched.start(part)
    before = pid_of(part)
    for _ in range(4):
        watched.tend()
        time.sleep(0.1)
    assert pid_of(part) == before
    os.kill(before, signal.SIGSTOP)
    tend_until(watched, lambda: part.alive and pid_of(part) != before, "a new process")


def test_what_runs_and_says_nothing_is_killed_when_it_had_begun(
    watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = [False]
    part = child(STAYS, silence=Silence(lambda: signs[0]), longest_silence_seconds=0.2)
    watched.start(part)
    before = pid_of(part)
    for _ in range(5):
        watched.tend()
        time.sleep(0.1)
    assert pid_of(part) == before, "it has not given its first sign: it may still be starting"
    signs[0] = True
    watched.tend()
    signs[0] = False
    tend_until(watched, lambda: part.alive and pid_of(part) != before, "a new process")
    last = pid_of(part)
    monkeypatch.setattr(module, "LONGEST_START_SECONDS", 0.5)
    tend_until(watched, lambda: part.alive and pid_of(part) != last, "a new process instead of one that never began")


def test_a_heartbeat_that_stops_is_noticed_whatever_the_clock_says(tmp_path: Path) -> None:
    beat = tmp_path / "worker.heartbeat"
    silent = Silence(beats(beat))
    beat.touch()
    assert silent() < 0.1
    os.utime(beat, (1e9, 1e9))  # the clock was put back by years: the file was touched all the same
    assert silent() < 0.1
    time.sleep(0.3)
    assert silent() > 0.2
    before = silent()
    time.sleep(0.7)
    assert silent() <= before + 0.6, "who looks away sees nobody be silent"


def test_a_server_that_answers_gives_signs_and_one_that_only_listens_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        silent = Silence(Answers("127.0.0.1", server.getsockname()[1]))
        wait_until(lambda: silent() > 0.3, 10, "silence: the kernel takes the connection, nobody answers")
        connection, _ = server.accept()
        with connection:
            asked = wait_until(lambda: (silent(), connection.recv(100))[1], 10, "the question")
            assert asked.startswith(b"GET /healthz ")
            connection.sendall(b"HTTP/1.0 503 Busy\r\n\r\n")
            wait_until(lambda: silent() == 0.0, 10, "the sign: it answers")
    wait_until(lambda: silent() > 0.3, 10, "silence of what has gone")


def test_a_replaced_child_finishes_while_the_new_one_works(watched: Supervisor, tmp_path: Path) -> None:
    part = child(DRAINS, str(tmp_path), grace_seconds=10.0)
    watched.start(part)
    old = pid_of(part)
    wait_until((tmp_path / str(old)).exists, 10, "the first process")
    watched.renew()
    assert pid_of(part) != old
    tend_until(watched, (tmp_path / "drained").exists, "the end of the first one's work")
    tend_until(watched, lambda: not part.leaving, "its end")
    assert part.alive
    assert part.losses == 0


def test_a_predecessor_stays_until_its_successor_is_ready(watched: Supervisor) -> None:
    ready: list[int] = []
    part = child(STAYS, ready=lambda pid: pid in ready)
    watched.start(part)
    old = pid_of(part)
    watched.renew()
    for _ in range(5):
        watched.tend()
        time.sleep(0.05)
    assert lives(old)
    ready.append(pid_of(part))
    tend_until(watched, lambda: not part.leaving, "the end of the old one")
    assert not lives(old)
    assert part.alive


def test_the_kernel_tells_who_listens() -> None:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        port = here.getsockname()[1]
        assert not listens(os.getpgrp(), port)
        here.listen()
        assert listens(os.getpgrp(), port)
        assert not listens(1, port), "the listener is not one of that group"
    assert not listens(os.getpgrp(), port)


def test_a_predecessor_that_does_not_end_is_killed_after_its_grace(watched: Supervisor) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(0.05)"
    part = child(stubborn, grace_seconds=0.5)
    watched.start(part)
    old = pid_of(part)
    time.sleep(0.5)  # until it ignores the signal
    watched.renew()
    tend_until(watched, lambda: not part.leaving, "the end of the stubborn one")
    assert not Path(f"/proc/{old}").exists()
    assert part.alive
