"""The registry's tables: model files by digest, the log of deployments, shadow scores, re-scorings, monitoring.

`models` is content-addressed and `model_log` append-only: triggers refuse every UPDATE and DELETE on both.
"""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from gateways.store.tables import metadata

models = Table(
    "models",
    metadata,
    Column("digest", String(64), primary_key=True, comment="SHA-256 of content, hex"),
    Column("id", String(64), nullable=False),
    Column("version", String(32), nullable=False),
    Column("content", LargeBinary, nullable=False, comment="the model file: canonical JSON"),
    Column("signature", LargeBinary, nullable=False, comment="its signature file"),
    Column("added", Float, nullable=False),
    UniqueConstraint("id", "version", name="models_version"),
)

model_log = Table(
    "model_log",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False, comment="canonical JSON of schemas.registry.LogEntry"),
    Column("ed25519", String(44), nullable=False, comment="public key, base64"),
    Column("signature", String(88), nullable=False, comment="of body, base64"),
)

shadow_scores = Table(
    "shadow_scores",
    metadata,
    Column("assessment", String(36), primary_key=True, comment="the active model's assessment that stands beside it"),
    Column("digest", String(64), primary_key=True, comment="of the shadow model"),
    Column("active", String(64), nullable=False, comment="digest of the active model at that moment"),
    Column("created", Float, nullable=False),
    Column("state", String(32), nullable=False, comment="of the assessment as the shadow model would have made it"),
    Column("risk", Float),
    Column("lower", Float),
    Column("upper", Float),
    Column("risk_class", String(16)),
    Column("active_risk", Float),
    Column("active_class", String(16)),
    Column("active_state", String(32), nullable=False),
    Column("reason", String(64), comment="code of why there is no number, if there is none"),
    Index("shadow_scores_digest", "digest", "created"),
)

rescorings = Table(
    "rescorings",
    metadata,
    Column("digest", String(64), primary_key=True, comment="of the model with which assessments are made again"),
    Column("purpose", String(8), primary_key=True, comment="active or shadow"),
    Column("cursor", Text, nullable=False, comment="id of the last assessment that was asked for; empty: none yet"),
    Column("asked", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("finished", Float),
)

monitorings = Table(
    "monitorings",
    metadata,
    Column("created", Float, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the figures of one run; nothing of one patient"),
)
