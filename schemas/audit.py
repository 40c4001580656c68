"""What the audit log says: who did what with whose data, when, and whether it was let happen."""

import datetime as dt
from typing import Literal, get_args

from pydantic import Field

from schemas.record import Record

ActorKind = Literal["cds-client", "sender", "open", "user", "system", "command", "stranger"]
Action = Literal[
    "cards-read",
    "resource-read",
    "resource-search",
    "page-read",
    "resource-created",
    "resource-updated",
    "resource-deleted",
    "result-created",
    "result-superseded",
    "result-withdrawn",
    "result-sent",
    "events-replayed",
    "event-shown",
    "erased",
    "retention",
    "audit-exported",
    "model-added",
    "model-changed",
    "records-retied",
    "login-failed",
]
ACTIONS: tuple[Action, ...] = get_args(Action)
Outcome = Literal["success", "failure"]


class AuditEntry(Record):
    """One thing that was done. `detail` holds codes and counts: it stays when a patient is erased."""

    actor_kind: ActorKind
    actor: str = Field(max_length=128, description="configured name of the client, process or operator")
    action: Action
    patient: str | None = Field(default=None, description="patient key")
    entity: str | None = Field(default=None, description="FHIR reference of what it was done with, or a query")
    outcome: Outcome = "success"
    detail: dict[str, str | int | bool | None] = Field(default_factory=dict)


class AuditRow(AuditEntry):
    """An entry in its place in the chain."""

    sequence: int
    recorded: dt.datetime
    erased: bool = Field(description="whom it was about was taken out by an erasure")
    hash: str


class Problem(Record):
    """Something that cannot be in a chain that nobody touched."""

    sequence: int | None
    code: Literal["changed", "missing", "order", "link", "head", "erased", "checkpoint", "signature", "short"]
    text: str


class Verified(Record):
    """What a check of the whole chain found."""

    ok: bool
    rows: int
    head: str = Field(description="hash of the last row; empty where there is none")
    erased_rows: int
    problems: list[Problem]


class Checkpoint(Record):
    """A statement about the chain at one moment, kept elsewhere: it makes a shortened or rewritten log visible."""

    sequence: int = Field(ge=0)
    hash: str
    at: dt.datetime
