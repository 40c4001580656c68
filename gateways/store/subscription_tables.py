"""The table of subscriptions: which server notifies us, how far it has counted, what it skipped."""

from sqlalchemy import Column, Float, Integer, String, Table, Text

from gateways.store.tables import Id, metadata

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("id", String(64), primary_key=True, comment="the Subscription's id; any: a rest-hook that names none"),
    Column("reference", Text, nullable=False, comment="as the sender names it; relative at its own base"),
    Column("topic", Text, nullable=False),
    Column("status", String(32), nullable=False, comment="as the sender last stated it"),
    Column("handshake_at", Float),
    Column("heard_at", Float, nullable=False, comment="when its newest notification was read"),
    Column("sent_at", Float, comment="Bundle.timestamp of the newest notification: the sender's clock"),
    Column("event", Id, nullable=False, comment="inbox id of the newest notification"),
    Column("top", Id, nullable=False, comment="highest event number that came or was announced"),
    Column("missing", Text, nullable=False, comment="JSON: [[first, last], ...]"),
    Column("complete_at", Float, comment="up to then nothing is missing, by the sender's clock"),
    Column("search_from", Float, comment="search from then on (_lastUpdated); null: no search is wanted"),
    Column("progress", Text, nullable=False, comment="JSON: where a search that is not through goes on, by type"),
    Column("gaps", Integer, nullable=False, comment="how often numbers were missing"),
    Column("resets", Integer, nullable=False, comment="how often the sender began to count anew"),
)
