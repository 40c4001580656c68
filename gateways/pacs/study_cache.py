"""Series that were fetched, kept on disk within bounds: measuring anew or sending evidence need not fetch again.

    {place}/{hash of the study's UID}/{hash of archive and metadata}/00000.dcm ...

An entry's name is a hash of all that the archive says of the series (its metadata, patient and instances included), so
whatever changes there is fetched anew. Entries come into being whole (a rename), readers get hard links of their own,
and so removal never takes a file from under somebody: no locks, any number of workers.
Images are a patient's. They are not encrypted here: the directory is for its owner alone (0700), entries end after
VBQ_CACHE_HOURS, and a disk that holds VBQ_DATA_DIR should be encrypted. VBQ_CACHE_BYTES=0 keeps nothing.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateways.settings import Settings

NEW = ".new-"
STALE_NEW_SECONDS = 3600.0


class _Entry(NamedTuple):
    used: float
    size: int
    place: Path


class StudyCache:
    """A directory of series. Errors of the disk mean that nothing is found or kept, never that fetching fails."""

    def __init__(self, place: Path, *, most_bytes: int, hours: float, clock: Callable[[], float] = time.time) -> None:
        self._place = place
        self._most_bytes = most_bytes
        self._seconds = hours * 3600
        self._clock = clock

    def take(self, study_uid: str, key: bytes, folder: Path) -> bool:
        """Put the series of `key` into `folder`, an empty directory; whether it was there, whole."""
        entry = self._entry(study_uid, key)
        try:
            if self._clock() - _made(entry) > self._seconds or not self._most_bytes:
                return False
            for path in sorted(entry.iterdir()):
                _share(path, folder / path.name)
            os.utime(entry)
        except OSError:  # not there, or removed meanwhile
            with contextlib.suppress(OSError):
                for left in folder.iterdir():
                    left.unlink()
            return False
        return True

    def keep(self, study_uid: str, key: bytes, folder: Path) -> None:
        """Remember the files of `folder`, and forget what is too old or too much."""
        if not self._most_bytes:
            return
        entry = self._entry(study_uid, key)
        with contextlib.suppress(OSError):
            self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=NEW, dir=self._place))
            try:
                for path in sorted(folder.iterdir()):
                    _share(path, new / path.name)
                entry.parent.mkdir(mode=0o700, exist_ok=True)
                new.rename(entry)  # fails where another worker was first: its files are as good
            finally:
                shutil.rmtree(new, ignore_errors=True)
        self.tidy()

    def forget(self, study_uid: str) -> bool:
        """Remove a study's series; whether there were any. For the erasure of a patient."""
        study = self._study(study_uid)
        there = study.exists()
        shutil.rmtree(study, ignore_errors=True)
        return there

    def tidy(self) -> int:
        """Remove entries that are too old, then those unused for longest until the rest fits; how many went."""
        entries = sorted(self._entries())
        total, gone = sum(entry.size for entry in entries), 0
        for entry in entries:
            if total <= self._most_bytes and self._clock() - _made(entry.place) <= self._seconds:
                continue
            shutil.rmtree(entry.place, ignore_errors=True)
            with contextlib.suppress(OSError):
                entry.place.parent.rmdir()  # the study's last one
            total -= entry.size
            gone += 1
        return gone

    def _entries(self) -> list[_Entry]:
        found = []
        for study in _below(self._place):
            if study.name.startswith(NEW):  # of a worker at work, or of one that was killed
                with contextlib.suppress(OSError):
                    if self._clock() - study.stat().st_mtime > STALE_NEW_SECONDS:
                        shutil.rmtree(study, ignore_errors=True)
                continue
            for place in _below(study):
                with contextlib.suppress(OSError):
                    size = sum(path.stat().st_size for path in place.iterdir())
                    found.append(_Entry(place.stat().st_mtime, size, place))
        return found

    def _study(self, study_uid: str) -> Path:
        return self._place / _hashed([study_uid.encode()])

    def _entry(self, study_uid: str, key: bytes) -> Path:
        return self._study(study_uid) / _hashed([key])


def cache_of(settings: "Settings") -> StudyCache:
    """The cache below the data directory, as the settings bound it."""
    return StudyCache(
        settings.data_dir / "cache" / "series", most_bytes=settings.cache_bytes, hours=settings.cache_hours
    )


def _hashed(parts: Sequence[bytes]) -> str:
    """A name for a directory: never what somebody else chose."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def _share(path: Path, other: Path) -> None:
    """The same file under another name; a copy where the disk or the file system is another one."""
    try:
        other.hardlink_to(path)
    except OSError:
        if not path.exists():
            raise
        shutil.copyfile(path, other)


def _below(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _made(place: Path) -> float:
    """When the files of an entry were fetched; 0 where there are none. The directory's own time is of its last use."""
    try:
        return min((path.stat().st_mtime for path in place.iterdir()), default=0.0)
    except OSError:
        return 0.0
