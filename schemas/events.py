"""An event: one version of one FHIR resource, as a sender pushed it."""

from typing import Literal

from pydantic import Field

from schemas.record import Record

RELEVANT_TYPES = ("Patient", "ImagingStudy", "Observation", "Condition", "Endpoint")
Interaction = Literal["upsert", "delete", "notice"]
"""A notice is about no resource: a sender told about a subscription (schemas/notice.py)."""


class IncomingEvent(Record):
    """What intake writes into the inbox: one row per relevant resource.

    `version` is meta.versionId, else meta.lastUpdated, else the SHA-256 of the canonical body: the same version of a
    resource twice is one row (design/RELIABILITY.md, "Exactly one effect").
    """

    source: str = Field(description="the sender's configured name; 'default' where none is configured")
    resource_type: str
    resource_id: str
    version: str
    interaction: Interaction = "upsert"
    patient: str | None = Field(description="patient key, None where the resource names none (Endpoint)")
    body: bytes = Field(description="the resource as it came, UTF-8 JSON; empty for a delete", repr=False)


class Receipt(Record):
    """What the sender gets back for one resource."""

    event: int = Field(description="inbox id")
    resource: str = Field(description="Type/id")
    version: str
    repeat: bool = Field(description="this version had been accepted before")
