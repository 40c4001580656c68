"""The EHR's FHIR server: gets each result as one transaction that may be sent twice without harm."""

import email.utils
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from schemas.config import Auth
from schemas.config import Ehr as EhrConfig
from schemas.errors import EhrUnavailable, NotConfigured, Rejected
from schemas.fhir.parse import parse_json

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 20.0
MAX_REPLY_BYTES = 4 * 2**20
FHIR_JSON = "application/fhir+json"


class Ehr:
    """One EHR. Makes a connection per call: results are rare, and a stale connection is one more thing to go wrong."""

    def __init__(self, config: EhrConfig) -> None:
        """Raises NotConfigured where the login is of a kind that is not there yet, or its secret is missing."""
        self._base = config.base_url.rstrip("/")
        self._headers = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON, **_login(config.auth)}

    def send(self, bundle: Mapping[str, Any]) -> list[str]:
        """POST a transaction Bundle; returns the status line of each entry, in order.

        Raises EhrUnavailable where it makes sense to send the same again (no answer, 429, 5xx), Rejected where it
        does not; its code is ehr-not-supported where the server says that it cannot do what the Bundle asks. After a
        timeout nobody knows whether it was written: conditional creates make the repeat harmless.
        """
        import httpx

        body = json.dumps(bundle, ensure_ascii=False, allow_nan=False).encode()
        timeout = httpx.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS)
        try:
            # No redirects: a token and a patient's result go to the configured origin alone. No proxies from the
            # environment, for the same reason.
            with (
                httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", self._base, content=body, headers=self._headers) as reply,
            ):
                return _statuses(reply.status_code, reply.headers, _read(reply), sent=len(bundle.get("entry", [])))
        except httpx.TransportError as error:
            raise EhrUnavailable(f"the EHR did not answer ({type(error).__name__}); it will be sent again") from error


def _login(auth: Auth) -> dict[str, str]:
    if auth.kind == "none":
        return {}
    if auth.kind == "bearer":
        token = os.environ.get(auth.token_env or "", "")
        if not token:
            raise NotConfigured("ehr.auth.token_env names no environment variable that holds a token; set it")
        return {"Authorization": f"Bearer {token}"}
    raise NotConfigured(f"ehr.auth.kind {auth.kind!r} is not supported for the EHR yet; use none or bearer")


def _read(reply: Any) -> bytes:
    found = b""
    for part in reply.iter_bytes():
        found += part
        if len(found) > MAX_REPLY_BYTES:
            raise Rejected("the EHR's reply is larger than 4 MiB; it is not a transaction response", code="ehr-reply")
    return found


def _statuses(status: int, headers: Mapping[str, str], body: bytes, *, sent: int) -> list[str]:
    if status == 429 or status >= 500:
        wait = retry_after_s(headers.get("Retry-After"), now=time.time())
        raise EhrUnavailable(f"the EHR answered {status}; it will be sent again", retry_after_s=wait)
    if status in (401, 403):
        raise EhrUnavailable(f"the EHR answered {status}: it does not let us in; check ehr.auth", code="ehr-login")
    if status not in (200, 201):
        reason = _reason(body)
        code = "ehr-not-supported" if reason == "not-supported" else "ehr-refused"
        raise Rejected(f"the EHR answered {status} to the transaction: {reason}", code=code)
    document = parse_json(body)
    statuses = [str(_status_of(entry)) for entry in document.get("entry", []) if isinstance(entry, dict)]
    if document.get("resourceType") != "Bundle" or len(statuses) != sent:
        raise Rejected("the EHR's reply does not match the transaction; check that it is a FHIR base", code="ehr-reply")
    refused = [line for line in statuses if not line.startswith("2")]
    if refused:
        raise Rejected(f"the EHR refused {len(refused)} of {sent} entries of the transaction", code="ehr-refused")
    return statuses


def _status_of(entry: Mapping[str, Any]) -> object:
    response = entry.get("response")
    return response.get("status", "") if isinstance(response, dict) else ""


def _reason(body: bytes) -> str:
    """The issue codes of an OperationOutcome. Its words may repeat what we sent, and that is a patient's."""
    try:
        issues = parse_json(body).get("issue")
    except Rejected:
        return "no OperationOutcome"
    codes = {str(row.get("code", "")) for row in issues if isinstance(row, dict)} if isinstance(issues, list) else set()
    return ", ".join(sorted(code for code in codes if code.replace("-", "").isalpha())) or "no reason given"


def retry_after_s(text: str | None, *, now: float) -> float | None:
    """Retry-After in seconds from `now` (seconds since 1970): a number or an HTTP date; None where it is neither."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
