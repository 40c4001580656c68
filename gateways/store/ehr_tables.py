"""What is remembered of FHIR servers: circuits, unsure sends, how far polls and back-fills are. See tables.py."""

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text

from gateways.store.tables import Id, metadata

circuits = Table(
    "circuits",
    metadata,
    Column("system", String(255), primary_key=True, comment="origin of the server"),
    Column("failures", Integer, nullable=False, comment="calls that failed, one after the other"),
    Column("opened", Integer, nullable=False, comment="how often it opened since it last worked"),
    Column("open_until", Float, comment="no call before; then one probes; null: closed"),
    Column("probe_until", Float, comment="somebody probes, until then at the longest"),
    Column("code", String(64), comment="of the last failure"),
    Column("changed", Float, nullable=False),
)

ehr_sends = Table(
    "ehr_sends",
    metadata,
    Column("patient", Text, primary_key=True),
    Column("begun", Float, nullable=False, comment="a send began that was not seen to end"),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("seen_until", Float, nullable=False, comment="meta.lastUpdated up to which everything is in the inbox"),
    Column("polled_at", Float, comment="when a poll last came to its end"),
    Column("code", String(64), comment="why the last poll did not; null: it did"),
)

backfills = Table(
    "backfills",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("source", String(64), nullable=False),
    Column("base", Text, nullable=False),
    Column("types", Text, nullable=False, comment="comma-separated"),
    Column("since", Text, nullable=False, comment="FHIR instant; empty: everything"),
    Column("state", String(8), nullable=False, comment="asked, reading or done"),
    Column("mode", String(8), nullable=False, comment="export or search"),
    Column("status_url", Text, comment="where the export is asked for its state"),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("fresh", Integer, nullable=False),
    Column("known", Integer, nullable=False),
    Column("passed_over", Integer, nullable=False),
    Column("problems", Text, nullable=False, comment="JSON: {code: count}"),
    Index("backfills_of", "source", "state"),
)

backfill_parts = Table(
    "backfill_parts",
    metadata,
    Column("backfill", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(8), nullable=False, comment="output, deleted, error or search"),
    Column("resource_type", String(64), nullable=False),
    Column("url", Text, nullable=False, comment="of the file; of the next page of a search"),
    Column("with_login", Integer, nullable=False, comment="1: the server wants its token for the file"),
    Column("total", Integer, comment="lines, as the server says"),
    Column("lines", Integer, nullable=False, comment="lines, or resources, that are in the inbox"),
    Column("finished", Float),
)
