"""Flask, with what every request pays for kept small: one hook before and after, no coroutine checks, fixed headers."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request

from services.lane import HEADERS, NO_STORE, Lane, Seen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BEGAN = "vbq.began"

Watcher = Callable[[Request, Response, float], None]


class Service(Flask):
    """The app. Every answer is guarded: nothing may be framed, sniffed, cached or scripted."""

    def __init__(self, watch: Watcher, seen: Seen) -> None:
        """`watch` hears of each request, its answer and the seconds it took; `seen` who got which status where."""
        super().__init__("services")
        self._watch = watch
        self._seen = seen
        self._lanes: dict[str, Lane] = {}
        self.after_request(self._end)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        lane = self.lane(environ.get("PATH_INFO", ""))
        if lane is not None and (answer := lane.answer(environ, start_response)) is not None:
            return answer
        return self.wsgi_app(environ, start_response)

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        """Flask's own way."""
        environ[BEGAN] = time.perf_counter()
        return super().wsgi_app(environ, start_response)

    def lane(self, path: str) -> Lane | None:
        """The lane that `path` begins with."""
        return self._lanes.get(path[1:].partition("/")[0])

    def shorten(self, lane: Lane) -> None:
        """Answer what lies under the lane's prefix (one part of a path) on the short way."""
        lane.seen = self._seen
        self._lanes[lane.prefix[1:]] = lane

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Every view is synchronous; Flask would ask each one on each request."""
        return func

    def _end(self, response: Response) -> Response:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - documented API
        response.headers.extend(HEADERS)
        if asked.endpoint != "static":
            response.headers.add(*NO_STORE)
        self._seen(response.status_code, asked.path, asked.remote_addr or "")
        self._watch(asked, response, time.perf_counter() - asked.environ[BEGAN])
        return response
