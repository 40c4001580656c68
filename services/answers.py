"""JSON answers."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

FHIR_JSON = "application/fhir+json; charset=utf-8"
JSON = "application/json"


def dumps(document: Any) -> bytes:
    """Compact UTF-8 JSON. NaN and infinities are refused: they are not JSON."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def fhir_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A FHIR resource; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else dumps(document)
    return Response(body, status, headers=dict(headers or {}), content_type=FHIR_JSON)


def plain_json(document: Any, status: int = 200) -> Response:
    """Any other JSON; bytes are sent as they are."""
    body = document if isinstance(document, bytes) else dumps(document)
    return Response(body, status, content_type=JSON)
