"""A file that a living process touches: what a probe looks at (`celery inspect ping` costs seconds of CPU)."""

from pathlib import Path


class Heartbeat:
    """data_dir/<process>.heartbeat"""

    def __init__(self, data_dir: Path, process: str) -> None:
        self._path = data_dir / f"{process}.heartbeat"

    def beat(self) -> None:
        """Say that the process lives. A full or read-only disk is the disk's problem, and the probe's to tell."""
        try:
            self._path.touch()
        except OSError:
            return
