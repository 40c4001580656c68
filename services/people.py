"""Errors on the pages that a clinician opens: a page where a browser asks for one, an OperationOutcome otherwise."""

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from schemas.errors import VbqError
from services import problems


def for_people(pages: Blueprint) -> None:
    """Answer errors of `pages` so that a person can read them."""
    pages.register_error_handler(VbqError, lambda error: _readable(problems.ours(error), error.detail))
    pages.register_error_handler(HTTPException, _of_http)


def _of_http(error: HTTPException) -> Response:
    answer = problems.of_http(error)
    return _readable(answer, error.description or "") if answer.status_code >= 400 else answer


def _readable(answer: Response, text: str) -> Response:
    if request.accept_mimetypes.best_match(["application/fhir+json", "text/html"]) != "text/html":
        return answer
    page = make_response(render_template("refused.html", status=answer.status_code, text=text), answer.status_code)
    for name in ("WWW-Authenticate", "Retry-After", "Allow"):
        if name in answer.headers:
            page.headers[name] = answer.headers[name]
    return page
