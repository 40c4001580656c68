"""A multipart/related answer, taken apart as it arrives: each part goes to a file of its own, within bounds."""

from collections.abc import Iterable
from pathlib import Path

from schemas.errors import PacsUnavailable, TooLarge

MAX_PART_HEADER = 8192


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart content type (RFC 2046 section 5.1.1); None where it is not multipart."""
    kind, *parameters = content_type.split(";")
    if not kind.strip().lower().startswith("multipart/"):
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary" and value.strip(' "'):
            return value.strip(' "').encode("latin-1")
    return None


class PartWriter:
    """Writes parts as files 00000.dcm, 00001.dcm, ... into `directory`. Names never come from the wire."""

    def __init__(self, directory: Path, *, max_bytes: int, max_parts: int) -> None:
        self.directory, self.max_bytes, self.max_parts = directory, max_bytes, max_parts
        self.written = self.parts = 0

    def write(self, content: bytes) -> Path:
        """One part; its file. Raises TooLarge beyond the limits."""
        self.written += len(content)
        self.parts += 1
        if self.written > self.max_bytes:
            raise TooLarge(f"the archive sent more than {self.max_bytes >> 20} MiB (VBQ_MAX_STUDY_BYTES)")
        if self.parts > self.max_parts:
            raise TooLarge(f"the archive sent more than {self.max_parts} instances (VBQ_MAX_STUDY_INSTANCES)")
        path = self.directory / f"{self.parts - 1:05d}.dcm"
        path.write_bytes(content)
        return path

    def take_back(self, path: Path) -> None:
        """Remove the part that was written last. What it took of the bytes stays taken."""
        path.unlink()
        self.parts -= 1

    def start_over(self) -> None:
        """Remove what was written."""
        for path in self.directory.glob("*.dcm"):
            path.unlink()
        self.written = self.parts = 0


def split_parts(chunks: Iterable[bytes], boundary: bytes, writer: PartWriter) -> None:
    """Take a multipart body apart. Raises PacsUnavailable where it ends before its closing boundary, TooLarge."""
    delimiter = b"\r\n--" + boundary
    buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
    started = False
    searched = 0
    for chunk in chunks:
        buffer += chunk
        if len(buffer) > writer.max_bytes + MAX_PART_HEADER:
            raise TooLarge(f"the archive sent more than {writer.max_bytes >> 20} MiB (VBQ_MAX_STUDY_BYTES)")
        while (end := buffer.find(delimiter, searched)) >= 0:
            after = end + len(delimiter)
            if len(buffer) < after + 2:
                break  # the two characters behind a boundary say whether it is the last
            if started:
                writer.write(_content(bytes(buffer[:end])))
            if buffer[after : after + 2] == b"--":
                return
            started = True
            del buffer[:after]
            searched = 0
        else:
            searched = max(0, len(buffer) - len(delimiter))
    raise PacsUnavailable("the archive's answer ended early; it will be asked again", code="pacs-cut")


def _content(part: bytes) -> bytes:
    """A part without its headers."""
    end = part.find(b"\r\n\r\n", 0, MAX_PART_HEADER)
    return part[end + 4 :] if end >= 0 else part
