"""Which files of a directory tree are the study: found lazily, bounded in number and size, never through a symlink."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateways.dicom.limits import DicomLimits
from gateways.dicom.walk import is_dicom
from schemas.errors import NotAcceptable, TooLarge

OTHER_FILES_PER_INSTANCE = 10  # a tree of a million text files must not keep a worker busy


def dicom_files(root: Path, limits: DicomLimits) -> list[Path]:
    """PS3.10 files at or below `root`, in the order of their paths.

    Raises NotAcceptable where there is nothing to read, TooLarge beyond the limits, naming the setting.
    """
    if not root.exists():
        raise NotAcceptable("the study's directory does not exist; check the path", code="study-missing")
    found: list[Path] = []
    total = others = 0
    for path, size in _regular_files(root):
        if size < 132 or not is_dicom(path):
            others += 1
            if others > OTHER_FILES_PER_INSTANCE * limits.instances:
                raise TooLarge("the study's directory holds too many other files; point at the DICOM files alone")
            continue
        found.append(path)
        total += size
        if len(found) > limits.instances:
            raise TooLarge(f"the study has more than {limits.instances} instances (VBQ_MAX_STUDY_INSTANCES)")
        if total > limits.study_bytes:
            raise TooLarge(f"the study is larger than {limits.study_bytes >> 20} MiB (VBQ_MAX_STUDY_BYTES)")
    if not found:
        raise NotAcceptable("the study's directory holds no DICOM file; check the path", code="study-empty")
    return sorted(found)


def _regular_files(root: Path) -> Iterator[tuple[Path, int]]:
    """Regular files with their size; a symlink, a pipe or a device is not one. A single file is a tree of one."""
    if root.is_file():
        yield root, root.stat().st_size
        return
    for folder, _, names in os.walk(root, followlinks=False):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size
