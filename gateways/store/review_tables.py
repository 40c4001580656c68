"""The review page's tables: the measured slices as pictures, and who may look at which patient for some minutes."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, String, Table, Text

from gateways.store.tables import metadata

pictures = Table(
    "pictures",
    metadata,
    Column("patient", Text, primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True, comment="the slice that was measured"),
    Column("created", Float, nullable=False),
    Column("rows", Integer, nullable=False, comment="of the slice, in which regions are drawn"),
    Column("columns", Integer, nullable=False),
    Column("row_mm", Float, nullable=False),
    Column("column_mm", Float, nullable=False),
    Column("png", LargeBinary, nullable=False, comment="8-bit grey, nothing drawn in it"),
)

review_sessions = Table(
    "review_sessions",
    metadata,
    Column("id", String(64), primary_key=True, comment="SHA-256 of what the browser holds, hex"),
    Column("client", String(64), nullable=False),
    Column("patient", Text, nullable=False, comment="whose results may be looked at"),
    Column("until", Float, nullable=False, comment="seconds since 1970"),
    Index("review_sessions_until", "until"),
)
