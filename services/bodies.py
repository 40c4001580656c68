"""Request bodies: bounded, plain, JSON."""

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

TAKEN = frozenset({"application/fhir+json", "application/json"})


def body_of_request() -> bytes:
    """The raw body, bounded by VBQ_MAX_BODY_BYTES. 415 for what is not plain JSON, 413 for what is too large.

    A body without a type may be empty (a rest-hook without payload) or come with a DELETE; what is wrong with it
    otherwise is said when it is parsed.
    """
    kind = request.mimetype
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    stated = request.method != "DELETE" and (kind or request.content_length)
    if stated and (kind not in TAKEN or charset not in {"utf-8", "utf8"}):
        raise UnsupportedMediaType
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType
    return request.get_data(cache=False)
