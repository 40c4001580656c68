"""The decoder's process: reads hostile files so that nobody else has to. Started by decoder.py, not by hand.

It gets its limits before it sees the first file, holds no secret (its environment is empty but for Python's own),
writes no file, and ends with its owner: when its input closes, or when one file takes longer than it may.
"""

import contextlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pydicom import Dataset

from gateways.dicom.decoder_wire import (
    ANSWER,
    MAX_DOCUMENT,
    REQUEST,
    Answer,
    Request,
    answer_of,
    decode_request,
    encode,
)
from gateways.dicom.headers import Instance
from gateways.dicom.pixels import load_slice
from gateways.dicom.study import headers_of
from schemas.measurement import Reason
from vbq.imaging.volume import Slice

SMALLEST_BYTES = 16 * 2**20
Found = list[Instance] | Slice | Reason


def main() -> None:
    """Answer requests on standard input until it ends. Argument: bytes of address space."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 16)
    with Path(os.devnull).open("wb") as nowhere:  # a library that prints must not spoil an answer
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its owner's affair
    sys.excepthook = lambda kind, _, trace: _send(answers, encode(_defect(kind, trace)), memoryview(b""))
    _limit(int(sys.argv[1]))
    bytearray(SMALLEST_BYTES)  # MemoryError, and no first word, where there is no room for the least of images
    _send(answers, encode(Answer("ready")), memoryview(b""))
    requests = sys.stdin.buffer
    with contextlib.suppress(BrokenPipeError):
        while (head := requests.read(REQUEST.size)) and len(head) == REQUEST.size:
            (length,) = REQUEST.unpack(head)
            request = decode_request(requests.read(min(length, MAX_DOCUMENT)))
            for found in _found(request):
                _send(answers, *answer_of(found))
    os._exit(0)  # nothing here is worth an orderly end


def _defect(kind: type[BaseException], trace: TracebackType | None) -> Answer:
    """The last words: what nobody foresaw, and where. Its text stays unsaid, since it may repeat a patient's data."""
    frames = traceback.extract_tb(trace)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "an unknown place"
    return Answer("defect", text=f"{kind.__name__} at {place}")


def _found(request: Request) -> Iterator[Found]:
    for path in request.paths:
        _allow(request.seconds)
        yield headers_of(Path(os.fsdecode(path)), request.limits)
    opened: dict[Path, Dataset] = {}
    for instance in request.instances:
        _allow(request.seconds)
        yield load_slice(instance, request.limits, opened)
    _allow(0)


def _allow(seconds: int) -> None:
    """From now on so many seconds until the end, by the clock and of computing; 0: as long as the owner likes."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + 1 if seconds else None)


def _limit(memory_bytes: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),  # a core dump would be a patient's images
        (resource.RLIMIT_NOFILE, 64),
    ):
        _lower(kind, most)


def _lower(kind: int, most: int | None) -> None:
    """Set a limit, though never above what who started us allows. None: back to that, for time, which is per file."""
    _, hard = resource.getrlimit(kind)
    soft = hard if most is None or (hard != resource.RLIM_INFINITY and hard < most) else most
    resource.setrlimit(kind, (soft, hard if kind == resource.RLIMIT_CPU else soft))


def _send(answers: BinaryIO, document: bytes, pixels: memoryview) -> None:
    answers.write(ANSWER.pack(len(document), pixels.nbytes))
    answers.write(document)
    answers.write(pixels)
    answers.flush()


if __name__ == "__main__":
    main()
