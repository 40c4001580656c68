"""Flask, with what every request pays for kept small: one hook before and after, no coroutine checks, fixed headers."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BEGAN = "vbq.began"

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]
NO_STORE = ("Cache-Control", "no-store")

Watcher = Callable[[Request, Response, float], None]


class Service(Flask):
    """The app. Every answer is guarded: nothing may be framed, sniffed, cached or scripted."""

    def __init__(self, watch: Watcher) -> None:
        """`watch` hears of each request, its answer and the seconds it took."""
        super().__init__("services")
        self._watch = watch
        self.after_request(self._end)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        environ[BEGAN] = time.perf_counter()
        return self.wsgi_app(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Every view is synchronous; Flask would ask each one on each request."""
        return func

    def _end(self, response: Response) -> Response:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - documented API
        response.headers.extend(HEADERS)
        if asked.endpoint != "static":
            response.headers.add(*NO_STORE)
        self._watch(asked, response, time.perf_counter() - asked.environ[BEGAN])
        return response
