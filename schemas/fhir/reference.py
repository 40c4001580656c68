"""References: which patient, which resource. One pure function decides how a patient is called everywhere in here."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from schemas.errors import NotAcceptable

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
USUAL_CHARS: Final = 256
_LITERAL = re.compile(
    r"(?:(?P<base>https?://[^\s?#|]+)/)?(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)


class Literal(NamedTuple):
    """A literal reference, taken apart. `base` has no slash at its end and is None for a relative reference."""

    base: str | None
    resource_type: str
    resource_id: str
    version: str | None

    @property
    def relative(self) -> str:
        """Type/id."""
        return f"{self.resource_type}/{self.resource_id}"


def read_reference(reference: str) -> Literal | None:
    """`reference` taken apart, or None where it is no literal reference (urn:, #contained, a search, anything else)."""
    return _remembered(reference) if len(reference) <= USUAL_CHARS else _taken_apart(reference)


def _taken_apart(reference: str) -> Literal | None:
    match = _LITERAL.fullmatch(reference)
    if match is None:
        return None
    return Literal(match["base"], match["type"], match["id"], match["version"])


_remembered = lru_cache(maxsize=1024)(_taken_apart)  # what comes in a Bundle mostly names the same few


def patient_key(reference: str, base: str | None, several: bool) -> str:
    """How the patient of `reference` is called in the inbox, the results and the cards.

    `base` is the FHIR base URL of the system that sent the reference (an EHR calling a hook: its fhirServer), None
    where none is configured; `several` says whether more than one FHIR base is configured among the senders.
    One base: `Patient/p1`. Several: `https://ehr.example/fhir/Patient/p1`. A reference to another server than the
    sender's own stays absolute, so that two servers' p1 are never taken for one person.

    Raises NotAcceptable where the reference is no literal reference to a Patient, or cannot be qualified.
    """
    literal = read_reference(reference)
    if literal is None or literal.resource_type != "Patient":
        raise NotAcceptable(
            "a patient must be referred to as Patient/id or by that resource's absolute URL", code="patient-reference"
        )
    own = base.rstrip("/") if base else None
    where = literal.base or own
    if not several:
        return literal.relative if where == own or own is None else f"{where}/{literal.relative}"
    if where is None:
        raise NotAcceptable(
            "several FHIR servers are configured, so a relative reference does not say whose patient is meant; "
            "configure fhir_base_url for this sender or send absolute references",
            code="patient-reference",
        )
    return f"{where}/{literal.relative}"


def base_of(patient: str) -> str | None:
    """The FHIR base of a patient key; None where the key is relative."""
    literal = read_reference(patient)
    return literal.base if literal else None


def qualified(reference: str, base: str | None) -> str:
    """`reference` made absolute under `base` where it is relative and a base is given; otherwise as it is."""
    literal = read_reference(reference)
    return f"{base}/{reference}" if base and literal and literal.base is None else reference


def same_base(url: str, other: str) -> bool:
    """Whether two FHIR base URLs are one: case of the host, a default port and a slash at the end do not matter."""
    plain = _plain(url)
    return url == other or (plain is not None and plain == _plain(other))


def as_own(reference: str, bases: Iterable[str]) -> str:
    """`reference` made relative where it is absolute below one of `bases`; otherwise as it is."""
    literal = read_reference(reference)
    if literal is None or literal.base is None or not any(same_base(literal.base, base) for base in bases):
        return reference
    return literal.relative


def _plain(url: str) -> tuple[str, str, int | None, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if parts.username is not None or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")
