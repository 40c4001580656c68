"""Which web pages may call the hooks from a browser (requirement 48).

Callers prove themselves by a token in a header, never by a cookie, so a page gains nothing by its origin and every
origin may ask. In development there is no token: then only this machine's pages and the configured clients' may.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from gateways.settings import LOOPBACK
from schemas.config import CdsClient

HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept",
    "Access-Control-Max-Age": "600",
}


class Cors:
    """Adds the headers to every answer of a blueprint."""

    def __init__(self, *, everybody: bool, clients: Sequence[CdsClient]) -> None:
        self._everybody = everybody
        self._origins = {origin_of(client.issuer) for client in clients}

    def watch(self, part: Blueprint) -> None:
        part.after_request(self._add)

    def _add(self, response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is None:
            return response
        response.headers["Vary"] = "Origin"
        if self._may(origin):
            response.headers["Access-Control-Allow-Origin"] = "*" if self._everybody else origin
            if request.method == "OPTIONS":
                response.headers.update(HEADERS)
        return response

    def _may(self, origin: str) -> bool:
        return self._everybody or origin in self._origins or host_of(origin) in LOOPBACK


def origin_of(url: str) -> str:
    """scheme://host[:port] of `url`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def host_of(origin: str) -> str | None:
    """The host of an Origin header; None for `null` and rubbish."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
