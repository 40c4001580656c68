"""What the review page needs: the measured slices as pictures, and sessions after a SMART launch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("patient", sa.Text(), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True, comment="the slice that was measured"),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False, comment="of the slice, in which regions are drawn"),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("row_mm", sa.Float(), nullable=False),
        sa.Column("column_mm", sa.Float(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False, comment="8-bit grey, nothing drawn in it"),
    )
    op.create_table(
        "review_sessions",
        sa.Column("id", sa.String(64), primary_key=True, comment="SHA-256 of what the browser holds, hex"),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False, comment="whose results may be looked at"),
        sa.Column("until", sa.Float(), nullable=False, comment="seconds since 1970"),
    )
    op.create_index("review_sessions_until", "review_sessions", ["until"])
