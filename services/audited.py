"""What the service showed, and to whom, as entries of the audit log. A call that cannot be recorded is refused."""

from gateways.audit.writer import AuditWriter
from schemas.assessment import Assessment
from schemas.audit import Action, AuditEntry
from services.auth import Caller

LONGEST_NAME = 128


class Audited:
    """Notes of reads. Each raises StoreUnavailable where the log cannot take it."""

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer

    def cards(self, caller: Caller, patient: str, *, user: str, hook: str, shown: str | None) -> None:
        """A hook was answered about a patient who is known here. `shown`: the assessment's id."""
        entity = f"RiskAssessment/{shown}" if shown is not None else None
        self._note(caller, "cards-read", patient, entity, {"hook": hook, **named(user)})

    def resource(self, caller: Caller, reference: str, patient: str | None) -> None:
        """A FHIR resource that we made was read."""
        self._note(caller, "resource-read", patient, reference, {})

    def search(self, caller: Caller, query: str, patient: str | None, found: int) -> None:
        """Our FHIR resources were searched."""
        self._note(caller, "resource-search", patient, query, {"found": found})

    def page(self, client: str, assessment: Assessment) -> None:
        """The review page of an assessment was opened."""
        caller = Caller(client or "default", "cds-client" if client else "open")
        self._note(caller, "page-read", assessment.patient, f"RiskAssessment/{assessment.id}", {})

    def _note(
        self, caller: Caller, action: Action, patient: str | None, entity: str | None, detail: dict[str, str | int]
    ) -> None:
        self._writer.note(
            AuditEntry(
                actor_kind=caller.kind,
                actor=caller.name[:LONGEST_NAME],
                action=action,
                patient=patient,
                entity=entity,
                detail={**detail},
            )
        )


def named(user: str) -> dict[str, str | int]:
    """The user whom an EHR names, unless it is the patient herself: that reference must be erasable."""
    kind, _, _ = user.rpartition("/")
    if kind.rpartition("/")[2] in ("Practitioner", "PractitionerRole") and user.isprintable():
        return {"user": user[:LONGEST_NAME]}
    return {}
