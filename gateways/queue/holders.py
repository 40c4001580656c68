"""Who holds a claim: a process, named so that another one on the same machine can see that it has died.

A claim of a dead process need not run out: the sweeper frees it. Processes elsewhere (another pod, another host) are
never judged; their claims run out.
"""

import os
from functools import cache
from pathlib import Path

PROC = Path("/proc")


def own() -> str | None:
    """The calling process as `machine:process id:its start in ticks since boot`; None where it cannot be had."""
    return _named(os.getpid())


def is_dead(holder: str) -> bool:
    """Whether the process has certainly ended: it was on this machine, and is not there any more.

    What follows a slash in `holder` tells apart several of one process.
    """
    parts = holder.partition("/")[0].split(":")
    if len(parts) != 3 or parts[0] != machine() or not parts[1].isdecimal():
        return False
    pid = int(parts[1])
    started = _start(pid)
    return not _hidden(pid) if started is None else started != parts[2]


@cache
def machine() -> str:
    """The boot of this machine and the namespace of process ids: elsewhere a number is another process."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{boot[:13]}.{space.removeprefix('pid:[').removesuffix(']')}"


@cache
def _named(pid: int) -> str | None:
    started = _start(pid)
    return f"{machine()}:{pid}:{started}" if machine() and started is not None else None


def _start(pid: int) -> str | None:
    """When the process began; None where it is gone, hidden, or dead and not yet buried by its parent."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def _hidden(pid: int) -> bool:
    """Whether it lives after all: some kernels show nobody the processes of other users."""
    if (PROC / str(pid)).exists():
        return False  # a dead one that its parent has not buried
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
