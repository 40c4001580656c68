"""What can go wrong, as a tree. Every error has a stable `code`; the message says what happened, where, and what to do.

    VbqError
    +-- Rejected                 never retry: the same input gives the same answer
    |   +-- NotAcceptable        an event or request that is not what it must be (carries FHIR paths)
    |   +-- TooLarge             a body, study or header beyond its limit
    |   +-- NotMeasurable        a study from which no VBQ can be had (carries reasons)
    |   +-- IdentityMismatch     pixels or facts of another patient or study
    |   +-- ModelRefused         a model file, or an input that the model refuses
    |   +-- Forbidden            an address or action outside what is configured
    |   +-- NotConfigured        a setting is missing or wrong
    +-- Unavailable              retry later: a system was away
    |   +-- StoreUnavailable     the database
    |   +-- BrokerUnavailable    Redis or another broker
    |   +-- PacsUnavailable      the image archive
    |   +-- EhrUnavailable       the EHR's FHIR server
    |       +-- CircuitOpen      it failed lately and is left alone for a while; waiting costs no attempt
    +-- Superseded               the work was overtaken: a lease ran out or inputs moved; nothing was written

Messages never contain a value that came from a patient's record: paths, codes and counts only.
One module per process turns these into answers: services/problems.py, workers/outcomes.py, commands/exits.py.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Issue(NamedTuple):
    """One problem at one place of an input: `path` as FHIRPath or a JSON pointer, `text` without input values."""

    path: str
    text: str


class VbqError(Exception):
    """Root of the tree. `code` is stable and safe to log; `detail` is the sentence for a person."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason_code = code or self.code


class Rejected(VbqError):
    """Never retry: the same input gives the same answer."""

    code = "rejected"


class NotAcceptable(Rejected):
    """An event or request that is not what it must be; `issues` name the places."""

    code = "not-acceptable"

    def __init__(self, detail: str, issues: Sequence[Issue] = (), *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.issues = tuple(issues)


class TooLarge(Rejected):
    """Beyond a limit; the detail names the limit and the setting that moves it."""

    code = "too-large"


class NotMeasurable(Rejected):
    """No VBQ can be had from this study; `reasons` are (code, text) pairs fit for a clinician."""

    code = "not-measurable"

    def __init__(self, detail: str, reasons: Sequence[tuple[str, str]] = (), *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.reasons = tuple(reasons) or ((self.reason_code, detail),)


class IdentityMismatch(Rejected):
    """Pixels or facts belong to another patient or study than the event says."""

    code = "identity-mismatch"


class ModelRefused(Rejected):
    """A model file that cannot be trusted or read, or an input outside what the model may be asked."""

    code = "model-refused"


class Forbidden(Rejected):
    """An address or action outside what the configuration allows."""

    code = "forbidden"


class NotConfigured(Rejected):
    """A setting is missing or wrong; the detail names the setting."""

    code = "not-configured"


class Unavailable(VbqError):
    """Retry later: a system was away. `retry_after_s` is a hint in seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable):
    """The database did not answer or could not write."""

    code = "store-unavailable"


class BrokerUnavailable(Unavailable):
    """The broker did not take a wake-up call; the inbox still has the work."""

    code = "broker-unavailable"


class PacsUnavailable(Unavailable):
    """The image archive did not answer."""

    code = "pacs-unavailable"


class EhrUnavailable(Unavailable):
    """The EHR's FHIR server did not answer."""

    code = "ehr-unavailable"


class CircuitOpen(EhrUnavailable):
    """The system failed lately and is left alone for a while. Work that waits for it has not failed."""

    code = "ehr-circuit-open"


class Superseded(VbqError):
    """The work was overtaken: a lease ran out or the inputs moved. Nothing was written."""

    code = "superseded"
