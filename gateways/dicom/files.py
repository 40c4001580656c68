"""Which files of a directory tree are the study: found lazily, bounded in number and size, never through a symlink."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateways.dicom.limits import DicomLimits
from gateways.dicom.walk import PREAMBLE
from schemas.errors import NotAcceptable, TooLarge

OTHER_FILES_PER_INSTANCE = 10  # a tree of a million text files must not keep a worker busy
ZIP = b"PK\x03\x04"


def dicom_files(root: Path, limits: DicomLimits) -> list[Path]:
    """PS3.10 files at or below `root`, in the order of their paths. What cannot be opened is left to the reader.

    Raises NotAcceptable where there is nothing to read, TooLarge beyond the limits, naming the setting.
    """
    if not root.exists():
        raise NotAcceptable("the study's directory does not exist; check the path", code="study-missing")
    found: list[Path] = []
    total = 0
    others: Counter[str] = Counter()
    for path, size in _regular_files(root, others):
        kind = _kind(path, size)
        if kind not in ("dicom", "closed"):
            others[kind] += 1
            if others.total() > OTHER_FILES_PER_INSTANCE * limits.instances:
                raise TooLarge("the study's directory holds too many other files; point at the DICOM files alone")
            continue
        found.append(path)
        total += size
        if len(found) > limits.instances:
            raise TooLarge(f"the study has more than {limits.instances} instances (VBQ_MAX_STUDY_INSTANCES)")
        if total > limits.study_bytes:
            raise TooLarge(f"the study is larger than {limits.study_bytes >> 20} MiB (VBQ_MAX_STUDY_BYTES)")
    if not found:
        raise NotAcceptable(_nothing(others), code="study-empty")
    return sorted(found)


def _kind(path: Path, size: int) -> str:
    """What a file is by its first bytes: dicom, zip, other, or closed to us."""
    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE + 4)
    except OSError:
        return "closed"
    if head[PREAMBLE:] == b"DICM" and size >= PREAMBLE + 4:
        return "dicom"
    return "zip" if head.startswith(ZIP) else "other"


def _nothing(others: Counter[str]) -> str:
    """Why there is no file to read, and what to do."""
    if others["zip"]:
        return "there is no DICOM file but a ZIP archive; unpack it and name the directory"
    if others["folder"]:
        return "a directory of the study cannot be opened; check its permissions"
    seen = " (files without the DICM prefix of PS3.10 are not read)" if others["other"] else ""
    return f"the study's directory holds no DICOM file{seen}; check the path"


def _regular_files(root: Path, others: Counter[str]) -> Iterator[tuple[Path, int]]:
    """Regular files with their size; a symlink, a pipe or a device is not one. A single file is a tree of one.

    Directories that cannot be opened are counted as `folder` in `others`.
    """
    if root.is_file():
        yield root, root.stat().st_size
        return
    for folder, _, names in os.walk(root, followlinks=False, onerror=lambda _: others.update(["folder"])):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size
