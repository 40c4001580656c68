"""The short way to the views that are called most: same answers, without Flask's context, routing and signals.

Flask's machinery costs several times what taking one event costs. A view on this lane gets the request as an argument
and must not use flask.request or flask.current_app. What the lane does not know goes on to Flask, so an odd path or
method is answered there.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Request

from schemas.errors import VbqError
from services.answers import reply_of
from services.asked import Asked, Headers, Reply
from services.bodies import Incoming, body_of, body_of_request, check_type
from services.pool import Pool
from services.problems import of_http, ours, unforeseen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

View = Callable[..., Reply]
"""Called with the request, then the parts of the path after the prefix."""
Soon = Callable[..., Awaitable[Reply] | None]
"""The same on an event loop, which it must not hold up; None where it would."""
Count = Callable[[str, str, int, float], None]
"""Hears of each answer: route, method, status, seconds."""
Seen = Callable[[int, str, str], None]
"""Hears of each answer too: status, path, the client's address."""

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]
NO_STORE = ("Cache-Control", "no-store")
GUARDS = [*HEADERS, NO_STORE]


class Told(Protocol):
    """A request but for its body, as granian tells of it."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def client(self) -> str: ...


class Way(NamedTuple):
    """Where a request goes on a lane: the route's name and the parts of the path after the prefix."""

    route: str
    parts: list[str]


class Lane:
    """One prefix (`/events`), its view, and which methods each depth of the path takes."""

    def __init__(
        self,
        prefix: str,
        view: View,
        routes: Mapping[int, tuple[str, frozenset[str]]],
        *,
        count: Count,
        max_body_bytes: int,
        browsers: bool = True,
        soon: Soon | None = None,
    ) -> None:
        """`routes`: for each number of parts after the prefix the route's name and its methods. `browsers`: False where
        calls with an Origin need headers that only Flask's way adds.
        """
        self.prefix = prefix
        self._view = view
        self._soon = soon
        self._routes = routes
        self._count = count
        self._max_body_bytes = max_body_bytes
        self._browsers = browsers
        self.seen: Seen = lambda _status, _path, _address: None

    def way(self, method: str, path: str, *, of_a_browser: bool) -> Way | None:
        """The way of a request; None where it is not for the lane."""
        parts = path[len(self.prefix) :].split("/")[1:]
        route, methods = self._routes.get(len(parts), ("", frozenset()))
        if method not in methods or not all(parts) or not path.isascii() or (of_a_browser and not self._browsers):
            return None
        return Way(route, parts)

    def answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes] | None:
        """The whole answer to a WSGI server; None where this is not for the lane."""
        method: str = environ["REQUEST_METHOD"]
        way = self.way(method, environ["PATH_INFO"], of_a_browser="HTTP_ORIGIN" in environ)
        if way is None:
            return None
        began = time.perf_counter()
        came = Request(environ, populate_request=False, shallow=False)
        came.max_content_length = self._max_body_bytes
        try:
            reply = self._view(Asked(method, came.path, came.headers, body_of_request(came)), *way.parts)
        except Exception as error:  # noqa: BLE001 - as Flask's error handlers do for the rest
            reply = problem(error)
        reply = self._end(way, method, began, reply)
        self.seen(reply.status, environ["PATH_INFO"], environ.get("REMOTE_ADDR", ""))
        phrase = HTTP_STATUS_CODES[reply.status].upper()
        start_response(f"{reply.status} {phrase}", [*reply.headers, ("Content-Length", str(len(reply.body)))])
        return (reply.body,)

    async def answer_soon(self, way: Way, told: Told, incoming: Incoming, pool: Pool) -> Reply:
        """The same on an event loop. What may wait for somebody, or computes for long, runs in `pool`."""
        began = time.perf_counter()
        try:
            method, headers = told.method, told.headers
            check_type(method, headers)
            asked = Asked(method, told.path, headers, await body_of(incoming, headers, self._max_body_bytes))
            soon = self._soon(asked, *way.parts) if self._soon is not None else None
            reply = await (soon if soon is not None else pool.run(lambda: self._view(asked, *way.parts)))
        except Exception as error:  # noqa: BLE001 - as above
            reply = problem(error)
        self.seen(reply.status, told.path, told.client.rpartition(":")[0])
        return self._end(way, told.method, began, reply)

    def _end(self, way: Way, method: str, began: float, reply: Reply) -> Reply:
        self._count(way.route, method, reply.status, time.perf_counter() - began)
        reply.headers.extend(GUARDS)
        return reply


def problem(error: Exception) -> Reply:
    """Any error of a view as its answer."""
    if isinstance(error, VbqError):
        return reply_of(ours(error))
    if isinstance(error, HTTPException):
        return reply_of(of_http(error))
    return reply_of(unforeseen(error))
