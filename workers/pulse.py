"""Children of a worker that run and do nothing: noticed by their parent, killed, and replaced by Celery.

Celery bounds the time of a task, but a child that froze before it took its task is waited for without end. So a thread
of each child touches a file, and the parent's event loop looks at the files. What a killed child held is free at once
(gateways/queue/holders.py).
"""

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path

BEAT_SECONDS = 2.0
MOST_LOOKS = 10
"""So many looks, BEAT_SECONDS apart, without a sign. Looks, since a parent that was held up saw nobody be silent."""

log = logging.getLogger(__name__)


def pulses(data_dir: Path) -> Path:
    """Where the files lie: one per child, named by its process id."""
    return data_dir / "pulses"


def begin(data_dir: Path) -> None:
    """In a child: give signs of life from now on. A thread needs the interpreter, as its work does."""
    path = pulses(data_dir) / str(os.getpid())

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):  # a full disk; the parent sees only that the time stands still
                path.parent.mkdir(exist_ok=True)
                path.touch()
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=beat, name="pulse", daemon=True).start()


class Watch:
    """In the parent: looks at its children's files."""

    def __init__(self, data_dir: Path) -> None:
        self._place = pulses(data_dir)
        self._seen: dict[int, tuple[float, int]] = {}

    def look(self) -> list[int]:
        """One look; kills children that gave no sign for MOST_LOOKS of them, and returns their process ids."""
        found: dict[int, tuple[float, int]] = {}
        killed = []
        for path in self._place.iterdir() if self._place.is_dir() else ():
            if not path.name.isdecimal():
                continue
            pid = int(path.name)
            parent = _parent(pid)
            if parent != os.getpid():
                if parent is None:
                    path.unlink(missing_ok=True)
                continue  # another worker's, or a stranger's who has the number of a dead one
            try:
                touched = path.stat().st_mtime
            except OSError:
                continue  # its own end, this moment
            before, looks = self._seen.get(pid, (touched, 0))
            looks = looks + 1 if touched == before else 0
            if looks > MOST_LOOKS:
                killed.append(pid)
            found[pid] = (touched, looks)
        self._seen = found
        for pid in killed:
            log.error("a child gives no sign of life and is killed", extra={"child": pid})
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            (self._place / str(pid)).unlink(missing_ok=True)
        return killed


def _parent(pid: int) -> int | None:
    """The parent's id; None where there is no such process."""
    try:
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
