"""A notice: what a sender told about a subscription of ours, without the resources. It is the body of an inbox row."""

from typing import Literal

from pydantic import Field

from schemas.record import Record

NoticeKind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event", "ping"]


class Notice(Record):
    """One notification. A rest-hook without payload is a `ping`: something changed, nobody says what."""

    kind: NoticeKind
    subscription: str = Field(default="", description="Subscription/id, or what stands for it; empty for a ping")
    topic: str = ""
    status: str = ""
    announced: int | None = Field(
        default=None, description="events since the subscription's start, this one's included"
    )
    numbers: list[int] = Field(default_factory=list, description="of the events that came with it")
    sent: str | None = Field(default=None, description="Bundle.timestamp: by the sender's clock")
    fetch: list[str] = Field(default_factory=list, description="Type/id of what it names and does not carry")
    search: bool = Field(default=False, description="it does not say what changed: search by _lastUpdated")
