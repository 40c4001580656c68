"""Claims say who holds them; a job may wait for an idle moment."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("inbox", "jobs"):
        op.add_column(table, sa.Column("holder", sa.String(64), comment="the process that has the claim"))
    column: sa.Column[bool] = sa.Column("when_idle", sa.Boolean(), nullable=False, server_default=sa.false())
    column.comment = "nobody waits for this run: it begins when nothing else is due, or at due_at"
    op.add_column("jobs", column)
