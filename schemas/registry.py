"""The registry's records: one line of the log that says who deployed which model when and why, and a model's stage."""

import datetime as dt
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.record import Record

Action = Literal["deploy", "shadow", "unshadow", "rollback", "revoke"]
Stage = Literal["active", "shadow", "retired", "revoked", "candidate"]
NOTHING_BEFORE = "0" * 64


class LogEntry(Record):
    """What a deployer signs, as canonical JSON. `previous` makes the lines a chain: none can go or change unseen."""

    format: Literal["vbq-model-log-1"] = Field(
        default="vbq-model-log-1", description="so that a signature under a line is never one under something else"
    )
    number: int = Field(ge=1, description="1, 2, 3, ...")
    previous: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the line before, zeros for the first")
    action: Action
    digest: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="the model that is deployed, shadows, is revoked or comes back; none for unshadow",
    )
    model: str | None = Field(default=None, max_length=100, description="its id and version, for people")
    by: str = Field(min_length=1, max_length=200, description="who decided")
    why: str = Field(min_length=1, max_length=1000, description="for what reason")
    at: dt.datetime = Field(description="when, with a time zone")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.digest is None) != (self.action == "unshadow"):
            raise ValueError("every action but unshadow names a model by its digest")
        if self.at.tzinfo is None:
            raise ValueError("the time needs a time zone")
        return self
