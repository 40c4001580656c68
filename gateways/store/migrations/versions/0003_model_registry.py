"""The model registry; each assessment says in a column which model made it."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEPT = ("models", "model_log")


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of content, hex"),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="the model file: canonical JSON"),
        sa.Column("signature", sa.LargeBinary(), nullable=False, comment="its signature file"),
        sa.Column("added", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("id", "version", name="models_version"),
    )
    op.create_table(
        "model_log",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="canonical JSON of schemas.registry.LogEntry"),
        sa.Column("ed25519", sa.String(length=44), nullable=False, comment="public key, base64"),
        sa.Column("signature", sa.String(length=88), nullable=False, comment="of body, base64"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "shadow_scores",
        sa.Column(
            "assessment",
            sa.String(length=36),
            nullable=False,
            comment="the active model's assessment that stands beside it",
        ),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="of the shadow model"),
        sa.Column("active", sa.String(length=64), nullable=False, comment="digest of the active model at that moment"),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column(
            "state",
            sa.String(length=32),
            nullable=False,
            comment="of the assessment as the shadow model would have made it",
        ),
        sa.Column("risk", sa.Float(), nullable=True),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.Column("risk_class", sa.String(length=16), nullable=True),
        sa.Column("active_risk", sa.Float(), nullable=True),
        sa.Column("active_class", sa.String(length=16), nullable=True),
        sa.Column("active_state", sa.String(length=32), nullable=False),
        sa.Column(
            "reason", sa.String(length=64), nullable=True, comment="code of why there is no number, if there is none"
        ),
        sa.PrimaryKeyConstraint("assessment", "digest"),
    )
    op.create_index("shadow_scores_digest", "shadow_scores", ["digest", "created"], unique=False)
    op.create_table(
        "rescorings",
        sa.Column(
            "digest", sa.String(length=64), nullable=False, comment="of the model with which assessments are made again"
        ),
        sa.Column("purpose", sa.String(length=8), nullable=False, comment="active or shadow"),
        sa.Column(
            "cursor", sa.Text(), nullable=False, comment="id of the last assessment that was asked for; empty: none yet"
        ),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("finished", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest", "purpose"),
    )
    op.create_table(
        "monitorings",
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the figures of one run; nothing of one patient"),
        sa.PrimaryKeyConstraint("created"),
    )
    op.add_column("assessments", sa.Column("model", sa.String(length=64), nullable=True, comment="digest of the model"))
    fill_models()
    for table in KEPT:
        forbid_changes(table)


def fill_models() -> None:
    """Assessments of before say it in their bodies alone."""
    connection = op.get_bind()
    table = sa.table("assessments", sa.column("id"), sa.column("model"), sa.column("body"))
    last = ""
    while True:
        some = sa.select(table.c.id, table.c.body).where(table.c.id > last).order_by(table.c.id).limit(200)
        rows = connection.execute(some).all()
        for row in rows:
            digest = json.loads(bytes(row.body))["model"]["digest"]
            connection.execute(sa.update(table).where(table.c.id == row.id).values(model=digest))
        if not rows:
            return
        last = rows[-1].id


def forbid_changes(table: str) -> None:
    """Rows are added and never changed or taken out."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} only grows'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_only_grows()"
    )
