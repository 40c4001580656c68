"""Studies that were sent to us, on disk: one directory each, under names that are hashes, with a note beside it.

    {root}/{hash of the study's UID}/{hash of the instance's UID}.dcm
    {root}/{hash of the study's UID}.json      what became of it: never who it is of

A file is there whole or not at all, and is on the disk before its sender hears "success".
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from gateways.dicom.headers import TAGS
from gateways.dicom.walk import walk_file
from gateways.pacs.endpoints import is_uid
from schemas.errors import NotAcceptable, Rejected, StoreUnavailable
from schemas.record import Record

PART = ".part"
ROOM_BYTES = 512 * 2**20  # always left free on the disk, for the database beside it
STALE_PART_SECONDS = 3600.0


class Note(Record):
    """What became of a study."""

    status: Literal["arriving", "waiting", "announced"]
    code: str = ""
    """Why it waits."""
    text: str = ""
    instances: int = 0
    announced: str = Field(default="", description="digest of the instances that were announced")
    at: float = Field(default=0.0, description="seconds since 1970")


class Received(Record):
    """One study on disk."""

    name: str
    place: Path
    instances: int
    digest: str
    """Changes when an instance is added."""
    changed: float
    note: Note


class ReceivedStudies:
    """The directory. Several threads may keep files; one process looks after it."""

    def __init__(self, root: Path, *, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self._most_bytes = most_bytes
        self._clock = clock
        self._held: int | None = None

    def keep(self, content: bytes) -> None:
        """Write one PS3.10 file. The same instance again replaces the one before.

        Raises NotAcceptable where it names no study and instance, StoreUnavailable where the disk or our share of it
        is full.
        """
        self._check_room(len(content))
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.root / f"{os.getpid()}-{time.monotonic_ns()}{PART}"
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            study, instance = _uids_of(part)
            folder = self.root / _hashed(study)
            folder.mkdir(mode=0o700, exist_ok=True)
            place = folder / f"{_hashed(instance)}.dcm"
            before = place.stat().st_size if place.exists() else 0
            part.replace(place)
            _flush(folder)
        except OSError as error:
            raise StoreUnavailable(f"a received image cannot be written: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
        self._held = (self._held or 0) + len(content) - before

    def all(self) -> Iterator[Received]:
        """Every study, in no order."""
        with contextlib.suppress(FileNotFoundError):
            for place in sorted(self.root.iterdir()):
                if place.is_dir() and not place.is_symlink():
                    names = sorted(path.name for path in place.iterdir())
                    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
                    note = self._note(place.name)
                    changed = place.stat().st_mtime
                    yield Received(
                        name=place.name, place=place, instances=len(names), digest=digest, changed=changed, note=note
                    )

    def note(self, name: str, note: Note) -> None:
        """Write down what became of a study."""
        part = self.root / f"{name}{PART}"
        part.write_text(note.model_dump_json(), encoding="utf-8")
        part.replace(self.root / f"{name}.json")

    def remove(self, name: str) -> None:
        """Remove a study and its note."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        (self.root / f"{name}.json").unlink(missing_ok=True)
        self._held = None

    def tidy(self, *, keep_seconds: float) -> int:
        """Remove studies that nobody sent anything to for so long, and halves of files; how many studies went."""
        for path in self.root.glob(f"*{PART}"):
            with contextlib.suppress(OSError):
                if self._clock() - path.stat().st_mtime > STALE_PART_SECONDS:
                    path.unlink()
        for path in self.root.glob("*.json"):
            if not path.with_suffix("").is_dir():  # the study was erased
                path.unlink(missing_ok=True)
        old = [row.name for row in self.all() if self._clock() - row.changed > keep_seconds]
        for name in old:
            self.remove(name)
        return len(old)

    def _check_room(self, size: int) -> None:
        if self._held is None:
            self._held = sum(path.stat().st_size for path in self.root.rglob("*.dcm"))
        if self._held + size > self._most_bytes:
            raise StoreUnavailable("received studies have used up receive.most_bytes; raise it, or lower keep_days")
        there = next(path for path in (self.root, *self.root.parents) if path.exists())
        if shutil.disk_usage(there).free < ROOM_BYTES + size:
            raise StoreUnavailable("the disk of the received studies is nearly full; make room")

    def _note(self, name: str) -> Note:
        try:
            return Note.model_validate_json((self.root / f"{name}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return Note(status="arriving")


def _uids_of(path: Path) -> tuple[str, str]:
    """Study and SOP Instance UID. The walk is bounded whatever the file holds."""
    try:
        values = walk_file(path, {TAGS["StudyInstanceUID"], TAGS["SOPInstanceUID"]}).values
    except Rejected as error:
        raise NotAcceptable("an image that was sent cannot be read", code=error.reason_code) from error
    found = [values.get(TAGS[name], b"").decode("ascii", "replace").strip("\0 ") for name in _NAMES]
    if not all(is_uid(uid) for uid in found):
        raise NotAcceptable("an image that was sent names no study or no instance", code="dicom-uids")
    return found[0], found[1]


_NAMES = ("StudyInstanceUID", "SOPInstanceUID")


def _hashed(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()


def _flush(folder: Path) -> None:
    """Have the new name on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
