"""Child processes under one supervisor: started in order, restarted when they crash, stopped in reverse order."""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from commands.signs_of_life import Silence

PR_SET_PDEATHSIG = 1
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
SETTLED_SECONDS = 60.0
LONGEST_SILENCE_SECONDS = 30.0  # a broker that is half-open holds a worker's loop for 15 s
LONGEST_STOP_SECONDS = 5.0
STOP_LOOK_SECONDS = 1.0
LONGEST_START_SECONDS = 90.0

log = logging.getLogger(__name__)


@dataclass
class Predecessor:
    """A process whose successor has been started. `until`: when its patience ends or, once told to stop, its grace."""

    process: subprocess.Popen[bytes]
    until: float
    told: bool = False


@dataclass
class Child:
    """One program."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGTERM
    """What it gets when the supervisor dies without a word."""
    grace_seconds: float = 10.0
    renewable: bool = True
    silence: Silence | None = None
    """For how long it has given no sign of life although it runs: it may be frozen."""
    longest_silence_seconds: float = LONGEST_SILENCE_SECONDS
    stopped: Callable[[int], bool] = lambda _: False
    """Whether the process with this id, or one that works for it, is stopped (SIGSTOP)."""
    stopped_since: float | None = None
    stop_look_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    losses: int = 0
    due_at: float = field(default=0.0)
    ready: Callable[[int], bool] = lambda _: True
    """Whether the process with this id does its work already, so that its predecessor may stop."""
    leaving: list["Predecessor"] = field(default_factory=list)

    def start(self) -> None:
        """Start it in its own process group, out of reach of Ctrl-C; it dies with the supervisor."""
        if self.silence is not None:
            self.silence()  # the last sign of the one before is not its own
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=partial(_die_with_parent, self.orphan_signal),  # noqa: PLW1509 - the supervisor has one thread
        )
        self.started_at = time.monotonic()

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs (or before it was started)."""
        return self.process.poll() if self.process is not None else None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its children: it knows how to stop them."""
        if self.alive and self.process is not None:
            self.process.send_signal(number)

    def renew(self) -> None:
        """Have new processes in the place of the old ones, which finish what they are at."""
        if not self.alive or self.process is None:
            return  # it is being started again anyway
        old = self.process
        self.start()
        self.leaving.append(Predecessor(old, until=time.monotonic() + LONGEST_START_SECONDS))
        self.see_off()

    def see_off(self) -> None:
        """Tell predecessors to stop once their successor works; end those whose grace is over; forget who has gone."""
        for old in list(self.leaving):
            gone, late = old.process.poll() is not None, time.monotonic() >= old.until
            if not old.told and (late or (self.process is not None and self.ready(self.process.pid))):
                old.process.send_signal(self.stop_signal)
                old.told, old.until = True, time.monotonic() + self.grace_seconds
            elif gone or late:
                _end(old.process)
                self.leaving.remove(old)

    def end(self) -> None:
        """Whatever is left of its process groups ends now."""
        for old in self.leaving:
            _end(old.process)
        if self.process is not None:
            _end(self.process)


class Supervisor:
    """The children, in the order in which they start."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.stopping = False

    def start(self, child: Child) -> None:
        child.start()
        self.children.append(child)

    def fallen(self) -> Child | None:
        """A child that is not running although it should."""
        return next((child for child in self.children if child.status is not None), None)

    def tend(self) -> None:
        """One look at all children: what crashed is started again, after growing pauses."""
        now = time.monotonic()
        for child in self.children:
            child.see_off()
            if child.alive and self._frozen(child, now):
                log.error("a process gives no sign of life and is killed", extra={"name_of_process": child.name})
                child.end()  # it is then started again like one that crashed
            if child.alive:
                if child.losses and now - child.started_at > SETTLED_SECONDS:
                    child.losses = 0
            elif child.due_at == 0.0:
                pause = min(FIRST_PAUSE_SECONDS * 2**child.losses, LONGEST_PAUSE_SECONDS)
                child.losses += 1
                child.due_at = now + pause
                log.warning(
                    "a process ended and is started again",
                    extra={"name_of_process": child.name, "status": child.status, "pause_seconds": pause},
                )
            elif now >= child.due_at:
                child.end()  # children of the dead one, if any are left
                child.due_at = 0.0
                child.start()

    def _frozen(self, child: Child, now: float) -> bool:
        """Whether a child that runs does nothing. One that has not begun yet has more patience."""
        if child.silence is not None:
            silent = child.silence()
            begun = child.silence.heard_at > child.started_at
            if silent > (child.longest_silence_seconds if begun else LONGEST_START_SECONDS):
                return True
        if now < child.stop_look_at or child.process is None:
            return False
        child.stop_look_at = now + STOP_LOOK_SECONDS  # it reads the kernel's tables: not ten times a second
        if not child.stopped(child.process.pid):
            child.stopped_since = None
            return False
        child.stopped_since = child.stopped_since or now
        return now - child.stopped_since > LONGEST_STOP_SECONDS

    def renew(self) -> None:
        """New processes in the place of the old ones, without a gap in the service."""
        for child in self.children:
            if child.renewable:
                log.info("a process is replaced", extra={"name_of_process": child.name})
                child.renew()

    def stop(self) -> None:
        """Stop all, the last started first; each has its grace, then it is killed."""
        for child in reversed(self.children):
            child.signal(child.stop_signal)
            until = time.monotonic() + child.grace_seconds
            while child.alive and time.monotonic() < until:
                time.sleep(0.02)
            if child.alive:
                log.warning("a process did not stop in time and is killed", extra={"name_of_process": child.name})
            child.end()


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_with_parent(number: signal.Signals) -> None:
    """In the child, before exec: this signal when the supervisor dies, even by kill -9 (Linux; elsewhere nothing)."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    except (AttributeError, OSError):
        return
