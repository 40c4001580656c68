"""Logs: one line per record on stderr, as JSON where nobody watches. Never a word about a patient.

A record is its message and the fields given in `extra`. Of an exception only its type and the places it passed are
written, never its text: the text of a foreign exception may repeat its input. Our own errors promise that theirs does
not (schemas/errors.py), so theirs is kept.
"""

import json
import logging
import sys
import time
import traceback
import warnings
from types import TracebackType
from typing import Any, TextIO

from schemas.errors import VbqError

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
# Libraries that write what they carry (URLs with identifiers, task arguments) when asked to be talkative.
_QUIET = ("httpx", "httpcore", "urllib3", "celery.app.trace", "celery.worker.strategy", "alembic")
_SILENT = ("pydicom",)  # its warnings repeat the values that they are about

log = logging.getLogger(__name__)


def configure(level: str, process: str, *, as_json: bool | None = None) -> None:
    """Send the logs of this process to stderr. `as_json` None: JSON unless stderr is a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    plain = sys.stderr.isatty() if as_json is None else not as_json
    handler.setFormatter(_Text(process) if plain else _Json(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.showwarning = _warned  # the text of a foreign warning may repeat its input, as pydicom's do


def _warned(  # noqa: PLR0917 - the signature that the warnings module calls
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    kind = type(message).__name__ if isinstance(message, Warning) else category.__name__
    log.info("a library warns", extra={"warning": kind, "at": f"{filename.rsplit('/', 1)[-1]}:{lineno}"})


class _Json(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = _error(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=lambda value: type(value).__name__)


class _Text(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_utc(record.created)} {record.levelname:<7} {self._process}: {_message(record)}{fields}"
        if record.exc_info and record.exc_info[0] is not None:
            error = _error(record.exc_info)
            line += f" [{error['type']} at {' < '.join(reversed(error['at'][-4:]))}]"
        return line


def _message(record: logging.LogRecord) -> str:
    """The message; of a record about an exception only its template, since its arguments may be the exception."""
    text = record.msg if record.exc_info and not isinstance(record.exc_info[1], VbqError) else record.getMessage()
    return str(text).replace("\n", " | ")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")}


def _error(info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> dict[str, Any]:
    kind, error, trace = info
    frames = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
    row: dict[str, Any] = {"type": kind.__name__ if kind else "", "at": frames}
    if isinstance(error, VbqError):
        row |= {"code": error.reason_code, "detail": error.detail}
    return row


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03d}Z"
