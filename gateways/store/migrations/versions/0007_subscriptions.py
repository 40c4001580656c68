"""Subscriptions that notify us: how far each has counted, what it skipped."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column(
            "id", sa.String(64), primary_key=True, comment="the Subscription's id; any: a rest-hook that names none"
        ),
        sa.Column("reference", sa.Text(), nullable=False, comment="as the sender names it; relative at its own base"),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False, comment="as the sender last stated it"),
        sa.Column("handshake_at", sa.Float()),
        sa.Column("heard_at", sa.Float(), nullable=False, comment="when its newest notification was read"),
        sa.Column("sent_at", sa.Float(), comment="Bundle.timestamp of the newest notification: the sender's clock"),
        sa.Column("event", Id, nullable=False, comment="inbox id of the newest notification"),
        sa.Column("top", Id, nullable=False, comment="highest event number that came or was announced"),
        sa.Column("missing", sa.Text(), nullable=False, comment="JSON: [[first, last], ...]"),
        sa.Column("complete_at", sa.Float(), comment="up to then nothing is missing, by the sender's clock"),
        sa.Column("search_from", sa.Float(), comment="search from then on (_lastUpdated); null: no search is wanted"),
        sa.Column(
            "progress", sa.Text(), nullable=False, comment="JSON: where a search that is not through goes on, by type"
        ),
        sa.Column("gaps", sa.Integer(), nullable=False, comment="how often numbers were missing"),
        sa.Column("resets", sa.Integer(), nullable=False, comment="how often the sender began to count anew"),
    )
