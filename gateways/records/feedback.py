"""What clinicians did with the cards: kept once, however often an EHR tells it, and with an effect on later cards."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Index,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from gateways.records.briefs import Brief, read_brief
from gateways.store.database import Database
from gateways.store.tables import assessments, metadata
from schemas.assessment import Assessment
from schemas.fhir.reference import base_of

feedback = Table(
    "feedback",
    metadata,
    Column("service", String(64), primary_key=True),
    Column("card", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("outcome_timestamp", String(40), primary_key=True, comment="as sent, RFC 3339"),
    Column("client", String(64), nullable=False),
    Column("received", Float, nullable=False, comment="seconds since 1970"),
    Column("body", LargeBinary, nullable=False, comment="the entry as sent; a user's comment may name a patient"),
    Column("assessment", String(36), comment="what the card was about; null where its id is not one of ours"),
    Column("patient", Text),
    Column("clinician", String(16), comment="a hash (services/card_ids.py), never a name"),
    Column("phase", String(8), comment="chart or order"),
    Column("finding", String(32), comment="risk class, or state where there was no risk"),
    Column("model_id", String(64)),
    Column("model_version", String(32)),
    Column("reason", String(64), comment="code of the override reason; null: none was given"),
    Index("feedback_of", "patient", "clinician"),
)


class CardFeedback(NamedTuple):
    """One entry of a feedback message, and what its card was about where the card's id tells it."""

    card: str
    outcome: str
    outcome_timestamp: str
    body: bytes
    reason: str | None = None
    assessment_prefix: str | None = None
    clinician: str | None = None
    phase: str | None = None


class Kept(NamedTuple):
    """A row that was new."""

    outcome: str
    reason: str | None
    model_version: str | None


class Ruling(NamedTuple):
    """A card that a clinician overrode with a reason. `finding` is None where the card's assessment was stored nowhere
    yet (a first answer); `assessment` is then the beginning of its id.
    """

    finding: str | None
    received: float
    assessment: str = ""


class Counted(NamedTuple):
    """How often something was done with cards of one kind."""

    service: str
    model: str
    reason: str | None
    outcome: str
    cards: int


class Feedback:
    """The feedback table."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._rulings = database.prepared(_rulings_statement())

    def store(self, service: str, client: str, entries: Sequence[CardFeedback]) -> int:
        """Write `entries` in one transaction; returns how many are new. Raises StoreUnavailable."""
        return len(self.keep(service, client, entries))

    def keep(
        self, service: str, client: str, entries: Sequence[CardFeedback], *, bases: Sequence[str] = ()
    ) -> list[Kept]:
        """Write `entries` in one transaction; returns the rows that are new. Raises StoreUnavailable.

        `bases`: the FHIR servers that the client speaks for (none: any). Feedback on a card about another server's
        patient is kept and has no effect.
        """
        received = self._clock()
        kept = []
        with self._database.write() as connection:
            for entry in dict.fromkeys(entries):
                about = self._about(connection, entry, bases)
                row = {
                    "service": service,
                    "card": entry.card,
                    "outcome": entry.outcome,
                    "outcome_timestamp": entry.outcome_timestamp,
                    "client": client,
                    "received": received,
                    "body": entry.body,
                    "reason": entry.reason,
                    **about,
                }
                statement = self._database.insert(feedback).values(row).on_conflict_do_nothing()
                if connection.execute(statement.returning(feedback.c.card)).one_or_none() is not None:
                    kept.append(Kept(entry.outcome, entry.reason, about.get("model_version")))
        return kept

    def _about(self, connection: Any, entry: CardFeedback, bases: Sequence[str]) -> dict[str, str | None]:
        if entry.assessment_prefix is None:
            return {}
        unknown = {"assessment": entry.assessment_prefix, "clinician": entry.clinician, "phase": entry.phase}
        mine = assessments.c.id.startswith(entry.assessment_prefix, autoescape=True)
        row = connection.execute(select(assessments.c.body).where(mine).limit(2)).fetchall()
        if len(row) != 1:  # of a first answer that is not stored yet, or (once in 10^8) not to be told apart
            return unknown
        found = Assessment.model_validate_json(bytes(row[0].body))
        server = base_of(found.patient)
        if bases and server is not None and server not in bases:
            return {}
        return {
            "assessment": found.id,
            "patient": found.patient,
            "clinician": entry.clinician,
            "phase": entry.phase,
            "finding": finding_of(found),
            "model_id": found.model.id,
            "model_version": found.model.version,
        }

    def ruling(self, patient: str, clinician: str, phase: str, *, client: str) -> Ruling | None:
        """The latest override with a reason. In one query of some microseconds.

        An override of a first answer came before its assessment was stored: it is found by the clinician's tag, which
        is another one for each patient, and counts for the `client` that sent it alone.
        """
        asked = {"patient": patient, "clinician": clinician, "phase": phase, "client": client}
        rows = self._rulings(asked)
        if not rows:
            return None
        finding, received, assessment = rows[0]
        if finding is None:
            finding = self._finding_since(str(assessment))
        return Ruling(finding, float(received), str(assessment))

    def _finding_since(self, prefix: str) -> str | None:
        """What the assessment that begins with `prefix` says, where it was stored since; one that was let go of by now
        says nothing.
        """
        mine = assessments.c.id.startswith(prefix, autoescape=True)
        with self._database.read() as connection:
            row = connection.execute(select(assessments.c.body).where(mine).limit(2)).fetchall()
        return finding_of(read_brief(bytes(row[0].body))) if len(row) == 1 else None

    def counted(self, *, since: float = 0.0) -> list[Counted]:
        """Everything received after `since` (seconds since 1970), by service, model, reason and outcome."""
        model = func.coalesce(feedback.c.model_id + " " + feedback.c.model_version, "unknown")
        keys = (feedback.c.service, model, feedback.c.reason, feedback.c.outcome)
        statement = select(*keys, func.count()).where(feedback.c.received > since).group_by(*keys)
        with self._database.read() as connection:
            rows = [Counted(*row) for row in connection.execute(statement)]
        return sorted(rows, key=lambda row: (row.service, row.model, row.outcome, row.reason or ""))


def finding_of(assessment: Assessment | Brief) -> str:
    """The risk class, or the state where there is no risk."""
    return assessment.risk.risk_class if assessment.risk is not None else assessment.state


def is_quiet(ruling: Ruling | None, shown: Assessment | Brief, *, now: float, quiet_days: float) -> bool:
    """Whether the latest ruling still holds: young enough, and about the same finding. Pure."""
    if ruling is None or now - ruling.received >= quiet_days * 86400:
        return False
    if ruling.finding is None:
        return shown.id.startswith(ruling.assessment)
    return ruling.finding == finding_of(shown)


def _rulings_statement() -> Select[Any]:
    patient: ColumnElement[str] = bindparam("patient", type_=Text())
    unresolved = and_(feedback.c.patient.is_(None), feedback.c.client == bindparam("client", type_=Text()))
    mine = (
        or_(feedback.c.patient == patient, unresolved),
        feedback.c.clinician == bindparam("clinician", type_=Text()),
        feedback.c.phase == bindparam("phase", type_=Text()),
        feedback.c.outcome == "overridden",
        feedback.c.reason.is_not(None),
        feedback.c.assessment.is_not(None),
    )
    newest = feedback.c.received.desc()
    columns = (feedback.c.finding, feedback.c.received, feedback.c.assessment)
    return select(*columns).where(*mine).order_by(newest).limit(1)
