"""Who listens on a port, by the kernel's tables (Linux): two web servers share one while they replace each other."""

import os
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"


def listens(group: int, port: int) -> bool:
    """Whether a process of the process group `group` listens on TCP `port`. False where the kernel does not tell."""
    sockets = {f"socket:[{inode}]" for inode in listening(port)}
    return bool(sockets) and any(sockets & open_files(pid) for pid in members(group))


def listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on `port`, whoever has them."""
    found = set()
    for table in (PROC / "net" / "tcp", PROC / "net" / "tcp6"):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def members(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if os.getpgid(int(entry.name)) == group:
                found.append(int(entry.name))
        except ProcessLookupError:
            continue
    return found


def open_files(pid: int) -> set[str]:
    """What the process's descriptors point to."""
    found = set()
    try:
        for entry in (PROC / str(pid) / "fd").iterdir():
            try:
                found.add(str(entry.readlink()))
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return set()  # it has gone, or is somebody else's
    return found
