"""What granian starts: `granian --interface rsgi --factory services.rsgi:app`.

One event loop reads requests and sends answers. What is on a lane is answered there, or in the pool where it may wait;
all the rest goes to Flask in the pool. No thread is held by a client that is slow, nor by an event that waits for the
disk.
"""

import asyncio
import contextlib
import io
import sys
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import quote

from granian._granian import RSGIProtocolClosed
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from services.asked import Headers, Reply
from services.bodies import Incoming, body_of, stated_bytes
from services.lane import GUARDS, problem
from services.pool import Pool
from services.web import Service
from services.wsgi import app as made

JOINED = "HTTP_"
APART = {"HTTP_CONTENT_TYPE": "CONTENT_TYPE", "HTTP_CONTENT_LENGTH": "CONTENT_LENGTH"}


class Scope(Protocol):
    """What granian says of a request."""

    method: str
    path: str
    query_string: str
    scheme: str
    client: str

    @property
    def headers(self) -> Any: ...


class Proto(Incoming, Protocol):
    """Where its body comes from and its answer goes."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


def app() -> "Entry":
    """The service for the environment of this process."""
    return Entry(made())


class Entry:
    """The service as granian calls it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._most = int(service.config["MAX_CONTENT_LENGTH"])
        self._pool: Pool

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = Pool(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Every request was answered. Granian forks its workers, so that nothing of atexit's ever runs in them."""
        self._service.extensions["outside"].close()

    async def __rsgi__(self, scope: Scope, proto: Proto) -> None:
        lane = self._service.lane(scope.path)
        browser = "origin" in scope.headers
        way = lane.way(scope.method, scope.path, of_a_browser=browser) if lane is not None else None
        with contextlib.suppress(RSGIProtocolClosed):  # the client went away: nobody is left to hear
            if lane is not None and way is not None:
                reply = await lane.answer_soon(way, scope, proto, self._pool)
            else:
                reply = await self._by_flask(scope, proto)
            proto.response_bytes(reply.status, reply.headers, reply.body)

    async def _by_flask(self, scope: Scope, proto: Proto) -> Reply:
        try:
            body = await body_of(proto, scope.headers, self._most)
            length = len(body)
        except RequestEntityTooLarge:
            body, length = b"", self._most + 1  # Flask refuses it in its own way, if it wants a body at all
        except BadRequest as error:
            reply = problem(error)
            return reply._replace(headers=[*reply.headers, *GUARDS])
        return await self._pool.run(lambda: called(self._service, environ_of(scope, body, length)))


def environ_of(scope: Scope, body: bytes, length: int) -> dict[str, Any]:
    """The request as WSGI (PEP 3333) has it. `length`: what Flask hears of the body's length."""
    headers: Headers = scope.headers
    server, _, port = (headers.get("host") or "localhost").rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "RAW_URI": quote(scope.path) + (f"?{scope.query_string}" if scope.query_string else ""),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server or port,
        "SERVER_PORT": port if server else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = JOINED + name.upper().replace("-", "_")
        key = APART.get(key, key)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if length or stated_bytes(headers) is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


def called(service: Service, environ: dict[str, Any]) -> Reply:
    """What `service` answers, whole."""
    said: list[tuple[int, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        said.append((int(status[:3]), headers))

    try:
        parts: Iterable[bytes] = service.wsgi_app(environ, start)  # type: ignore[arg-type] # no write(): nothing here uses it
        try:
            body = b"".join(parts)
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()
    except Exception as error:  # noqa: BLE001 - Flask answers its views' errors; this is what failed outside of them
        return problem(error)
    return Reply(*said[-1], body)
