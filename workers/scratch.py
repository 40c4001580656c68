"""Where fetched studies lie while they are measured: below data_dir, and gone with their process even after kill -9."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(data_dir: Path) -> Iterator[Path]:
    """A directory of this process's own, removed at the end of the block."""
    home = data_dir / "scratch"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=home) as place:
        yield Path(place)


def clear_scratch(data_dir: Path) -> int:
    """Remove what killed processes left behind (patients' images); returns how many directories that were."""
    left = [path for path in (data_dir / "scratch").glob("*-*") if not _lives(path.name.partition("-")[0])]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
