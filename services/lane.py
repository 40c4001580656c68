"""The short way to the views that are called most: same answers, without Flask's context, routing and signals.

Flask's machinery costs several times what taking one event costs. A view on this lane gets the request as an argument
and must not use flask.request or flask.current_app. What the lane does not know goes on to Flask, so an odd path or
method is answered there.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from schemas.errors import VbqError
from services.problems import of_http, ours, unforeseen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

View = Callable[..., Response]
"""Called with the request, then the parts of the path after the prefix."""
Count = Callable[[str, str, int, float], None]
"""Hears of each answer: route, method, status, seconds."""

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
    ) -> None:
        """`routes`: for each number of parts after the prefix the route's name and its methods. `browsers`: False where
        calls with an Origin need headers that only Flask's way adds.
        """
        self.prefix = prefix
        self._view = view
        self._routes = routes
        self._count = count
        self._max_body_bytes = max_body_bytes
        self._browsers = browsers

    def answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes] | None:
        """The whole answer; None where this is not for the lane."""
        path: str = environ["PATH_INFO"]
        parts = path[len(self.prefix) :].split("/")[1:]
        route, methods = self._routes.get(len(parts), ("", frozenset()))
        method: str = environ["REQUEST_METHOD"]
        if method not in methods or not all(parts) or not path.isascii():
            return None
        if not self._browsers and "HTTP_ORIGIN" in environ:
            return None
        began = time.perf_counter()
        asked = Request(environ, populate_request=False, shallow=False)
        asked.max_content_length = self._max_body_bytes
        try:
            response = self._view(asked, *parts)
        except VbqError as error:
            response = ours(error)
        except HTTPException as error:
            response = of_http(error)
        except Exception as error:  # noqa: BLE001 - the one place of the lane, as Flask's error handler is for the rest
            response = unforeseen(error)
        body = response.get_data()
        self._count(route, method, response.status_code, time.perf_counter() - began)
        headers = [*response.headers, ("Content-Length", str(len(body))), *GUARDS]
        start_response(response.status, headers)
        return (body,)
