"""FHIR servers: circuits, unsure sends, watermarks of polls, back-fills."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "circuits",
        sa.Column("system", sa.String(255), primary_key=True, comment="origin of the server"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="calls that failed, one after the other"),
        sa.Column("opened", sa.Integer(), nullable=False, comment="how often it opened since it last worked"),
        sa.Column("open_until", sa.Float(), comment="no call before; then one probes; null: closed"),
        sa.Column("probe_until", sa.Float(), comment="somebody probes, until then at the longest"),
        sa.Column("code", sa.String(64), comment="of the last failure"),
        sa.Column("changed", sa.Float(), nullable=False),
    )
    op.create_table(
        "ehr_sends",
        sa.Column("patient", sa.Text(), primary_key=True),
        sa.Column("begun", sa.Float(), nullable=False, comment="a send began that was not seen to end"),
    )
    op.create_table(
        "watermarks",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("resource_type", sa.String(64), primary_key=True),
        sa.Column(
            "seen_until",
            sa.Float(),
            nullable=False,
            comment="meta.lastUpdated up to which everything is in the inbox",
        ),
        sa.Column("polled_at", sa.Float(), comment="when a poll last came to its end"),
        sa.Column("code", sa.String(64), comment="why the last poll did not; null: it did"),
    )
    op.create_table(
        "backfills",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False, comment="comma-separated"),
        sa.Column("since", sa.Text(), nullable=False, comment="FHIR instant; empty: everything"),
        sa.Column("state", sa.String(8), nullable=False, comment="asked, reading or done"),
        sa.Column("mode", sa.String(8), nullable=False, comment="export or search"),
        sa.Column("status_url", sa.Text(), comment="where the export is asked for its state"),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("finished", sa.Float()),
        sa.Column("fresh", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("passed_over", sa.Integer(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False, comment="JSON: {code: count}"),
    )
    op.create_index("backfills_of", "backfills", ["source", "state"])
    op.create_table(
        "backfill_parts",
        sa.Column("backfill", Id, primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False, comment="output, deleted, error or search"),
        sa.Column("resource_type", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="of the file; of the next page of a search"),
        sa.Column("with_login", sa.Integer(), nullable=False, comment="1: the server wants its token for the file"),
        sa.Column("total", sa.Integer(), comment="lines, as the server says"),
        sa.Column("lines", sa.Integer(), nullable=False, comment="lines, or resources, that are in the inbox"),
        sa.Column("finished", sa.Float()),
    )
