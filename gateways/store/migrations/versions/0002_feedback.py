"""Feedback on cards."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("card", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("outcome_timestamp", sa.String(length=40), nullable=False, comment="as sent, RFC 3339"),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("received", sa.Float(), nullable=False, comment="seconds since 1970"),
        sa.Column(
            "body", sa.LargeBinary(), nullable=False, comment="the entry as sent; a user's comment may name a patient"
        ),
        sa.PrimaryKeyConstraint("service", "card", "outcome", "outcome_timestamp"),
    )
