"""Every error of this process as an answer: a status and an OperationOutcome. Never HTML, never what was sent."""

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from schemas.errors import (
    Forbidden,
    Issue,
    ModelRefused,
    NotAcceptable,
    NotConfigured,
    Rejected,
    Superseded,
    TooLarge,
    Unavailable,
    VbqError,
)
from schemas.fhir.outcome import outcome
from schemas.fhir.parse import SYNTAX_CODES
from services.answers import fhir_json

log = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 5
UNREADABLE = SYNTAX_CODES | {"not-cds-hooks"}

# FHIR's issue types (http://hl7.org/fhir/R4/valueset-issue-type.html)
ISSUE_TYPES: Mapping[int, str] = {
    400: "structure",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    412: "required",
    413: "too-long",
    415: "not-supported",
    422: "invalid",
    429: "throttled",
    503: "transient",
}
WORDS: Mapping[int, str] = {
    400: "the request is not one that can be read",
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not take this method; the Allow header lists those it takes",
    413: "the body is larger than this service takes (VBQ_MAX_BODY_BYTES)",
    415: "the body must be JSON: Content-Type application/fhir+json or application/json, not compressed",
    429: "too many requests; wait for the time in Retry-After",
    500: "something went wrong in here; it is in this service's log",
}


def answer(status: int, text: str, issues: Sequence[Issue] = (), headers: Mapping[str, str] | None = None) -> Response:
    """An OperationOutcome with one issue for each of `issues`, or one that says `text`."""
    code = ISSUE_TYPES.get(status, "exception" if status >= 500 else "processing")
    rows = issues or [Issue("", text)]
    # only a FHIRPath may stand in `expression`; "(root)" and "(path)" are words
    return fhir_json(
        outcome([("error", code, row.text, row.path if row.path[:1].isalpha() else "") for row in rows]),
        status,
        headers,
    )


def status_of(error: VbqError) -> int:
    """The HTTP status that says what `error` says."""
    match error:
        case NotAcceptable():
            return 400 if error.reason_code in UNREADABLE else 422
        case TooLarge():
            return 413
        case Forbidden():
            return 403
        case ModelRefused() | NotConfigured():
            return 500  # an operator's business, not the caller's
        case Unavailable() | Superseded():
            return 503
        case Rejected():
            return 422
        case _:
            return 500


def ours(error: VbqError) -> Response:
    """One of our own errors."""
    status = status_of(error)
    headers = {}
    if status == 503:
        wait = getattr(error, "retry_after_s", None) or RETRY_AFTER_SECONDS
        headers["Retry-After"] = str(math.ceil(wait))
        log.warning("answered 503: %s", error.reason_code)
    return answer(status, error.detail, getattr(error, "issues", ()), headers)


def of_http(error: HTTPException) -> Response:
    """An error of HTTP itself; werkzeug's own sentences are replaced, those that we raised with are kept."""
    status = error.code or 500
    own = error.description if error.description != type(error).description else None
    text = own or WORDS.get(status) or HTTPStatus(status).phrase.lower()
    kept = ("Allow", "WWW-Authenticate", "Retry-After")
    headers = {name: value for name, value in error.get_headers() if name in kept}
    if status == 429:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return answer(status, text, (), headers)


def unforeseen(error: Exception) -> Response:
    """A fault of ours. Its message may hold a patient's data, so the log gets its type and places alone."""
    places = [f"{row.filename}:{row.lineno}" for row in traceback.extract_tb(error.__traceback__)[-6:]]
    log.error("unforeseen %s at %s", type(error).__name__, " < ".join(reversed(places)))
    return answer(500, WORDS[500])


def handle(app: Flask) -> None:
    """Make `app` answer every error from here."""
    app.register_error_handler(VbqError, ours)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unforeseen)
