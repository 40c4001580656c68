"""JSON answers."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

from services.asked import Reply

FHIR_JSON = "application/fhir+json; charset=utf-8"
JSON = "application/json"


def dumps(document: Any) -> bytes:
    """Compact UTF-8 JSON. NaN and infinities are refused: they are not JSON."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def fhir_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A FHIR resource; bytes are sent as they are."""
    return response_of(fhir_reply(document, status, headers))


def plain_json(document: Any, status: int = 200) -> Response:
    """Any other JSON; bytes are sent as they are."""
    return response_of(json_reply(document, status))


def fhir_reply(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A FHIR resource; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else dumps(document)
    return Reply(status, [("Content-Type", FHIR_JSON), *(headers or {}).items()], body)


def json_reply(document: Any, status: int = 200) -> Reply:
    """Any other JSON; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else dumps(document)
    return Reply(status, [("Content-Type", JSON)], body)


def response_of(reply: Reply) -> Response:
    """`reply` for Flask."""
    return Response(reply.body, reply.status, headers=reply.headers)


def reply_of(response: Response) -> Reply:
    """Flask's `response`, with its Content-Length, for whoever sends it."""
    return Reply(response.status_code, list(response.headers), response.get_data())
