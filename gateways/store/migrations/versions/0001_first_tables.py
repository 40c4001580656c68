"""The first tables: inbox, resources, jobs, measurements, assessments, published, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assessments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("superseded_by", sa.String(length=36), nullable=True),
        sa.Column("sent", sa.Boolean(), nullable=False, comment="the EHR has this state of it"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "assessments_current",
        "assessments",
        ["patient"],
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    )
    op.create_index("assessments_patient", "assessments", ["patient"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("interaction", sa.String(length=8), nullable=False),
        sa.Column("patient", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("woken_at", sa.Float(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=True),
        sa.Column("reason_text", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "resource_type", "resource_id", "version", name="inbox_version"),
    )
    op.create_index(
        "inbox_due",
        "inbox",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state <> 'done'"),
        postgresql_where=sa.text("state <> 'done'"),
    )
    op.create_index(
        "inbox_open",
        "inbox",
        ["patient"],
        unique=False,
        sqlite_where=sa.text("state <> 'done'"),
        postgresql_where=sa.text("state <> 'done'"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="measure, assess or publish"),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="measure: source/ImagingStudy/id; assess, publish: patient"
        ),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_wanted", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("woken_at", sa.Float(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=True),
        sa.Column("reason_text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "subject", name="jobs_subject"),
    )
    op.create_index(
        "jobs_due",
        "jobs",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state <> 'idle'"),
        postgresql_where=sa.text("state <> 'idle'"),
    )
    op.create_index(
        "jobs_open",
        "jobs",
        ["patient"],
        unique=False,
        sqlite_where=sa.text("state <> 'idle'"),
        postgresql_where=sa.text("state <> 'idle'"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "measurements",
        sa.Column("subject", sa.Text(), nullable=False, comment="source/ImagingStudy/id"),
        sa.Column("run", sa.Integer(), nullable=False, comment="the job's `wanted` that this run answered"),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "run"),
    )
    op.create_index("measurements_patient", "measurements", ["patient"], unique=False)
    op.create_table(
        "published",
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("patient", sa.Text(), nullable=True, comment="null for a Device: it belongs to nobody"),
        sa.Column("identifier", sa.Text(), nullable=True, comment="system|value of the first identifier"),
        sa.Column("assessment", sa.String(length=36), nullable=False),
        sa.Column("last_updated", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("resource_type", "resource_id"),
    )
    op.create_index("published_assessment", "published", ["assessment"], unique=False)
    op.create_index("published_identifier", "published", ["identifier"], unique=False)
    op.create_index("published_patient", "published", ["resource_type", "patient", "last_updated"], unique=False)
    op.create_table(
        "resources",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=128), nullable=False),
        sa.Column("patient", sa.Text(), nullable=True),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column("last_updated", sa.Float(), nullable=True, comment="meta.lastUpdated"),
        sa.Column(
            "event",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="inbox id of this version; arrival decides where versions cannot",
        ),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column(
            "interest",
            sa.String(length=16),
            nullable=True,
            comment="study: could be a lumbar MR; t-score: of the spine; null: context only",
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "resource_type", "resource_id"),
    )
    op.create_index("resources_patient", "resources", ["patient"], unique=False)
