"""What ties patient records to one another, and whose images a study's pixels say they are."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from gateways.store.tables import metadata

patient_ties = Table(
    "patient_ties",
    metadata,
    Column("patient", Text, primary_key=True, comment="key of the record that says so"),
    Column("kind", String(16), primary_key=True, comment="identifier, replaced-by or replaces"),
    Column("value", Text, primary_key=True, comment="system|value of a trusted system, or the other record's key"),
    Index("patient_ties_value", "kind", "value"),
)

study_identities = Table(
    "study_identities",
    metadata,
    Column("subject", Text, primary_key=True, comment="source/ImagingStudy/id"),
    Column("patient", Text, nullable=False),
    Column("run", Integer, nullable=False, comment="as in measurements"),
    Column("body", LargeBinary, nullable=False, comment="JSON: what the headers say of the patient"),
    Index("study_identities_patient", "patient"),
)
