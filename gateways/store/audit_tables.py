"""The audit log's tables: rows that only grow, and the head of their chain.

A trigger refuses DELETE, and every UPDATE but one: taking out whom a row is about (patient, entity, salt). The hash of
a row covers a salted digest of these instead of their text, so an erasure leaves the chain whole and says nothing.
"""

from sqlalchemy import BigInteger, Column, Float, Index, String, Table, Text

from gateways.store.tables import metadata

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ... without a gap"),
    Column("recorded", Float, nullable=False, comment="seconds since 1970"),
    Column("actor_kind", String(16), nullable=False, comment="cds-client, sender, open, user, system or command"),
    Column("actor", String(128), nullable=False, comment="configured name of a client, process or operator"),
    Column("action", String(32), nullable=False),
    Column("outcome", String(8), nullable=False, comment="success or failure"),
    Column("detail", Text, nullable=False, comment="canonical JSON: codes and counts, nothing of a patient"),
    Column("patient", Text, comment="patient key; null: about nobody, or erased"),
    Column("entity", Text, comment="FHIR reference or query; null: none, or erased"),
    Column("salt", String(32), comment="hex; null: erased"),
    Column("about", String(64), nullable=False, comment="SHA-256 of salt, patient and entity, hex"),
    Column("previous", String(64), nullable=False, comment="hash of the row before"),
    Column("hash", String(64), nullable=False, comment="SHA-256 of the canonical row, hex"),
    Index("audit_patient", "patient", "sequence"),
    Index("audit_recorded", "recorded"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("name", String(8), primary_key=True, comment="one row: chain"),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
