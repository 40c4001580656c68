"""What arrives for one retrieval over DIMSE: kept where it is what was asked for, each image once, within bounds."""

import time
from collections.abc import Mapping
from threading import Lock
from typing import Any

from gateways.dicom.headers import TAGS
from gateways.dicom.walk import walk_file
from gateways.pacs.multipart import PartWriter
from schemas.errors import NotAcceptable, Rejected

SUCCESS, NO_ROOM, NOT_ASKED_FOR, NOT_UNDERSTOOD = 0x0000, 0xA702, 0xA900, 0xC000
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Taking:
    """Images of one C-GET or C-MOVE. Called from threads of pynetdicom's."""

    def __init__(self, keys: Mapping[str, str], writer: PartWriter) -> None:
        """`keys` holds the UIDs that were asked for, by keyword; `writer` the bounds."""
        self._keys = keys
        self._writer = writer
        self._lock = Lock()
        self._held: set[str] = set()
        self.failed: Rejected | OSError | None = None
        """Why nothing more is taken: a bound, or the disk."""
        self.touched = time.monotonic()

    @property
    def images(self) -> int:
        return len(self._held)

    def heard(self) -> None:
        """The archive gave a sign of life."""
        self.touched = time.monotonic()

    def store(self, event: Any) -> int:
        """C-STORE: the status that the archive hears."""
        self.heard()
        with self._lock:
            if self.failed is not None:
                return NO_ROOM
            try:
                return self._keep(event.encoded_dataset())
            except NotAcceptable:
                return NOT_UNDERSTOOD
            except (Rejected, OSError) as error:
                self.failed = error
                return NO_ROOM

    def _keep(self, content: bytes) -> int:
        path = self._writer.write(content)
        try:
            values = walk_file(path, {TAGS[name] for name in UIDS}).values
        except Rejected:
            self._writer.take_back(path)
            raise
        found = {name: values.get(TAGS[name], b"").decode("ascii", "replace").strip("\0 ") for name in UIDS}
        asked_for = all(found[name] == wanted for name, wanted in self._keys.items())
        if not asked_for or found["SOPInstanceUID"] in self._held:
            self._writer.take_back(path)
            return SUCCESS if asked_for else NOT_ASKED_FOR
        self._held.add(found["SOPInstanceUID"])
        return SUCCESS


class Arrivals:
    """What arrives goes to the retrieval at hand; what comes between two of them was not asked for."""

    def __init__(self) -> None:
        self.taking: Taking | None = None

    def heard(self, _event: Any = None) -> None:
        if self.taking is not None:
            self.taking.heard()

    def store(self, event: Any) -> int:
        return self.taking.store(event) if self.taking is not None else NOT_ASKED_FOR
