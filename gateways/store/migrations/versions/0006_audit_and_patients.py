"""The audit log, hash-chained; ties between patient records; whose images a study's pixels say they are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What may change in a row of the audit log: whom it is about may be taken out.
KEPT = ("sequence", "recorded", "actor_kind", "actor", "action", "outcome", "detail", "about", "previous", "hash")
ERASED = ("patient", "entity", "salt")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "sequence", sa.BigInteger(), primary_key=True, autoincrement=False, comment="1, 2, 3, ... without a gap"
        ),
        sa.Column("recorded", sa.Float(), nullable=False, comment="seconds since 1970"),
        sa.Column(
            "actor_kind",
            sa.String(16),
            nullable=False,
            comment="cds-client, sender, open, user, system or command",
        ),
        sa.Column("actor", sa.String(128), nullable=False, comment="configured name of a client, process or operator"),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False, comment="success or failure"),
        sa.Column(
            "detail", sa.Text(), nullable=False, comment="canonical JSON: codes and counts, nothing of a patient"
        ),
        sa.Column("patient", sa.Text(), nullable=True, comment="patient key; null: about nobody, or erased"),
        sa.Column("entity", sa.Text(), nullable=True, comment="FHIR reference or query; null: none, or erased"),
        sa.Column("salt", sa.String(32), nullable=True, comment="hex; null: erased"),
        sa.Column("about", sa.String(64), nullable=False, comment="SHA-256 of salt, patient and entity, hex"),
        sa.Column("previous", sa.String(64), nullable=False, comment="hash of the row before"),
        sa.Column("hash", sa.String(64), nullable=False, comment="SHA-256 of the canonical row, hex"),
    )
    op.create_index("audit_patient", "audit", ["patient", "sequence"])
    op.create_index("audit_recorded", "audit", ["recorded"])
    op.create_table(
        "audit_head",
        sa.Column("name", sa.String(8), primary_key=True, comment="one row: chain"),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "patient_ties",
        sa.Column("patient", sa.Text(), primary_key=True, comment="key of the record that says so"),
        sa.Column("kind", sa.String(16), primary_key=True, comment="identifier, replaced-by or replaces"),
        sa.Column(
            "value", sa.Text(), primary_key=True, comment="system|value of a trusted system, or the other record's key"
        ),
    )
    op.create_index("patient_ties_value", "patient_ties", ["kind", "value"])
    op.create_table(
        "study_identities",
        sa.Column("subject", sa.Text(), primary_key=True, comment="source/ImagingStudy/id"),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False, comment="as in measurements"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="JSON: what the headers say of the patient"),
    )
    op.create_index("study_identities_patient", "study_identities", ["patient"])
    op.execute("INSERT INTO audit_head (name, sequence, hash) VALUES ('chain', 0, '')")
    guard()


def guard() -> None:
    """Nothing is taken out of the audit log, and nothing in it changes but what an erasure takes out."""
    if op.get_bind().dialect.name == "sqlite":
        changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in KEPT)
        filled = " OR ".join(f"NEW.{name} IS NOT NULL" for name in ERASED)
        op.execute(
            f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit WHEN {changed} OR {filled} "
            "BEGIN SELECT RAISE(ABORT, 'audit only grows'); END"
        )
        op.execute(
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit only grows'); END"
        )
        return
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in KEPT)
    filled = " OR ".join(f"NEW.{name} IS NOT NULL" for name in ERASED)
    refuse = "RAISE EXCEPTION 'audit only grows'"
    op.execute(
        "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP <> 'UPDATE' THEN {refuse}; END IF; "
        f"IF {changed} OR {filled} THEN {refuse}; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_update BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_only_grows()"
    )
    op.execute(f"CREATE FUNCTION audit_never_emptied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse}; END $$")
    op.execute(
        "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_never_emptied()"
    )
