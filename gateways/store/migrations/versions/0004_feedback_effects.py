"""Feedback is tied to its card's assessment, model and clinician, so that it can have an effect."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind, comment in (
        ("assessment", sa.String(length=36), "what the card was about; null where its id is not one of ours"),
        ("patient", sa.Text(), None),
        ("clinician", sa.String(length=16), "a hash (services/card_ids.py), never a name"),
        ("phase", sa.String(length=8), "chart or order"),
        ("finding", sa.String(length=32), "risk class, or state where there was no risk"),
        ("model_id", sa.String(length=64), None),
        ("model_version", sa.String(length=32), None),
        ("reason", sa.String(length=64), "code of the override reason; null: none was given"),
    ):
        op.add_column("feedback", sa.Column(name, kind, nullable=True, comment=comment))
    op.create_index("feedback_of", "feedback", ["patient", "clinician"])
