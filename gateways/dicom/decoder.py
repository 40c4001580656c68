"""A limited child process that reads DICOM files, as a dicom.Reader.

Decoders are C, Rust and Python that hostile files can crash, hang or fill with memory. Here that costs the child and
the one file: the file gets its Reason, a new child goes on with the next. The child stays warm between studies, so a
study pays for pipes, not for a start. No pickle, no shared memory that the child could change under us.
"""

import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self, cast

import msgspec
import numpy as np

from gateways.dicom.decoder_wire import (
    ANSWER,
    MAX_DOCUMENT,
    REQUEST,
    Request,
    decode_answer,
    encode,
    slice_of,
)
from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import Headers
from schemas.errors import NotConfigured, Unavailable
from schemas.measurement import Reason
from vbq.imaging.volume import Slice

if TYPE_CHECKING:
    from gateways.settings import Settings

MEMORY_BYTES = 2**30
FILE_SECONDS = 20
REQUEST_SECONDS = 90.0
MOST_DEATHS = 3
START_SECONDS = 60.0
PIPE_BYTES = 2**20
ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP})  # what files cannot do, but operators can
TIME_OUT = frozenset({-signal.SIGALRM, -signal.SIGXCPU})

log = logging.getLogger(__name__)
Found = Headers | Slice


class _Ended(Exception):
    """The child is gone. `status` as in subprocess: minus the signal."""

    def __init__(self, status: int, defect: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.defect = defect
        """Its last words: an error that nobody foresaw, and where."""


class Decoder:
    """One child process, started when it is first needed and again when it died. One study at a time."""

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, file_seconds: int = FILE_SECONDS) -> None:
        """`memory_bytes` is the child's whole address space (150 MiB of it are Python's and numpy's own)."""
        self._memory_bytes = memory_bytes
        self._file_seconds = file_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._lock = Lock()
        self.deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child without waiting for it: it gets ready while its owner does something else."""
        with self._lock:
            self._launch()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def peak_mib(self) -> float:
        """The most memory that the child ever held, MiB (Linux); 0 where none runs."""
        try:
            rows = Path("/proc", str(self._process.pid if self._process else 0), "status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM")), 0.0)

    def headers(self, paths: Sequence[Path], limits: DicomLimits) -> list[Headers]:
        """As dicom.Reader. Raises Unavailable where the child is killed from outside, NotConfigured where it cannot
        start.
        """
        request = Request(limits, self._file_seconds, paths=[os.fsencode(path) for path in paths])
        return cast("list[Headers]", self._all(request))

    def slices(self, instances: Sequence[Instance], limits: DicomLimits) -> list[Slice | Reason]:
        """As dicom.Reader. Raises as `headers`."""
        return cast("list[Slice | Reason]", self._all(Request(limits, self._file_seconds, instances=list(instances))))

    def _all(self, request: Request) -> list[Found]:
        """An answer for each item: where the child dies on one, that one's Reason, and the rest from a new child."""
        found: list[Found] = []
        until = time.monotonic() + max(REQUEST_SECONDS, self._file_seconds)
        count = len(request.paths) + len(request.instances)
        deaths = kills = 0
        with self._lock:
            while len(found) < count:
                left = msgspec.structs.replace(
                    request,
                    paths=request.paths[len(found) :],
                    instances=request.instances[len(found) :],
                )
                try:
                    self._ask(left, found, until)
                except _Ended as ended:
                    self.deaths += 1
                    if ended.status in OUTSIDE and time.monotonic() < until:
                        kills += 1
                        if kills < MOST_DEATHS:
                            continue  # not the file's doing: once more
                        raise Unavailable(
                            "the decoder's process is killed again and again; check the memory that the host gives it",
                            code="decoder-killed",
                        ) from ended
                    deaths += 1
                    reason = _reason(ended)
                    late = deaths >= MOST_DEATHS or time.monotonic() >= until
                    found += [reason] * (count - len(found) if late else 1)
        return found

    def _ask(self, request: Request, found: list[Found], until: float) -> None:
        """Add answers to `found` until all are there. Raises _Ended."""
        self._launch()
        self._greet()
        finished = False
        try:
            document = encode(request)
            self._write(REQUEST.pack(len(document)) + document)
            for index in range(len(request.paths) + len(request.instances)):
                limit = min(until, time.monotonic() + self._file_seconds + 1)
                asked = request.instances[index] if request.instances else None
                found.append(self._answer(limit, asked))
            finished = True
        except (msgspec.MsgspecError, ValueError) as error:
            raise _Ended(0) from error  # it talks nonsense: something got hold of it
        finally:
            if not finished:
                self._end()  # whatever is still in the pipe belongs to nobody

    def _answer(self, until: float, asked: Instance | None) -> Found:
        length, size = ANSWER.unpack(self._read(ANSWER.size, until))
        if length > MAX_DOCUMENT:
            raise ValueError("a document beyond bounds")
        answer = decode_answer(self._read(length, until))
        if answer.kind == "reason":
            return Reason(code=answer.code, text=answer.text)
        if answer.kind == "defect":
            raise _Ended(1, answer.text)
        if asked is None:
            if answer.kind != "headers" or size:
                raise ValueError("not an answer to the question")
            return answer.instances
        picture = answer.picture
        if picture is None or (picture.rows, picture.columns, 4 * picture.rows * picture.columns) != (
            asked.rows,
            asked.columns,
            size,
        ):
            raise ValueError("not an answer to the question")
        pixels = np.empty((picture.rows, picture.columns), dtype="<f4")
        self._fill(pixels.data.cast("B"), until)
        return slice_of(picture, pixels)

    def _launch(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        # Its own session: a signal to our process group is not meant for it. No secrets of our environment either.
        environment = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateways.dicom.decoder_child", str(self._memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # tracebacks of a patient's files
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"the decoder's process cannot be started: {error.strerror}", code="decoder") from error
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # a slice at a time instead of 64 KiB: half the time
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def _greet(self) -> None:
        """Wait for the child's first word."""
        if self._ready:
            return
        try:
            length, _ = ANSWER.unpack(self._read(ANSWER.size, time.monotonic() + START_SECONDS))
            first = decode_answer(self._read(length, time.monotonic() + START_SECONDS))
            if first.kind != "ready":
                raise _Ended(1, first.text)
            self._ready = True
        except _Ended as ended:
            if ended.status in OUTSIDE:
                raise
            raise NotConfigured(
                f"the decoder's process does not start (status {ended.status} {ended.defect}); give it more memory "
                "(VBQ_DECODER_MEMORY_BYTES), and check the installation with `vbq doctor`"
            ) from ended

    def _write(self, content: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _Ended(self._end(grace_seconds=1.0)) from error

    def _read(self, count: int, until: float) -> bytearray:
        content = bytearray(count)
        self._fill(memoryview(content), until)
        return content

    def _fill(self, view: memoryview, until: float) -> None:
        """Fill `view` from the child. Raises _Ended where it dies, or where it takes longer than `until`."""
        assert self._process is not None
        assert self._process.stdout is not None
        file, at = self._process.stdout.fileno(), 0
        poll = select.poll()
        poll.register(file, select.POLLIN)
        while at < len(view):
            try:
                got = os.readv(file, [view[at:]])
            except BlockingIOError:
                if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                    self._end()
                    raise _Ended(-signal.SIGALRM) from None
                continue
            if got == 0:
                raise _Ended(self._end(grace_seconds=1.0))
            at += got

    def _end(self, grace_seconds: float = 0.0) -> int:
        """Have the child gone, at once or after it was given time to die by itself. Its status."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            if grace_seconds:
                process.wait(grace_seconds)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return process.wait()


def decoder_of(settings: "Settings") -> Decoder:
    """A decoder with the limits of the settings, not started yet."""
    return Decoder(memory_bytes=settings.decoder_memory_bytes, file_seconds=settings.decoder_seconds)


def _reason(ended: _Ended) -> Reason:
    """What is said of the file on which the child ended."""
    if ended.status in TIME_OUT:
        text = "reading a file took longer than VBQ_DECODER_SECONDS; send it uncompressed"
        return Reason(code="decoder-time", text=text)
    if ended.defect:
        log.error("a file met a defect of the decoder: %s", ended.defect)
    text = "a file made its decoder end; send it again or uncompressed"
    return Reason(code="decoder-died", text=text)
