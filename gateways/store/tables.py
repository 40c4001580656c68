"""The tables, as SQLAlchemy Core sees them. gateways/store/migrations makes them; a test holds the two together.

The database is the queue (design: a Celery message only says "look at row N"). Times are seconds since 1970 (UTC) as
floats, so that SQLite and PostgreSQL compare them alike.

States of a row in `inbox`: pending -> running -> done | dead.
States of a row in `jobs`:  idle -> due -> running -> idle | dead; `wanted` counts the reasons to run, `done` says how
many of them the last finished run had seen, so a reason that comes up while the job runs is never lost.
`lease_token` is a fencing token: it grows with every claim, and an effect is written only under the token in force.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()
# Written out and not bound: an index over part of a table serves only a query that names the part in the same words.
OPEN_EVENTS = text("inbox.state <> 'done'")
OPEN_JOBS = text("jobs.state <> 'idle'")
CURRENT = text("assessments.current")
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("source", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("resource_id", String(128), nullable=False),
    Column("version", String(256), nullable=False),
    Column("interaction", String(8), nullable=False),
    Column("patient", Text),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("woken_at", Float),
    Column("lease_until", Float),
    Column("lease_token", BigInteger, nullable=False),
    Column("holder", String(64), comment="the process that has the claim"),
    Column("reason_code", String(64)),
    Column("reason_text", Text),
    Column("finished_at", Float),
    UniqueConstraint("source", "resource_type", "resource_id", "version", name="inbox_version"),
    Index("inbox_due", "due_at", sqlite_where=text("state <> 'done'"), postgresql_where=text("state <> 'done'")),
    Index("inbox_open", "patient", sqlite_where=text("state <> 'done'"), postgresql_where=text("state <> 'done'")),
)

resources = Table(
    "resources",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("resource_id", String(128), primary_key=True),
    Column("patient", Text),
    Column("version", String(256), nullable=False),
    Column("last_updated", Float, comment="meta.lastUpdated"),
    Column("event", Id, nullable=False, comment="inbox id of this version; arrival decides where versions cannot"),
    Column("deleted", Boolean, nullable=False),
    Column("interest", String(16), comment="study: could be a lumbar MR; t-score: of the spine; null: context only"),
    Column("body", LargeBinary, nullable=False),
    Index("resources_patient", "patient"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False, comment="measure, assess or publish"),
    Column("subject", Text, nullable=False, comment="measure: source/ImagingStudy/id; assess, publish: patient"),
    Column("patient", Text, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_wanted", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("woken_at", Float),
    Column("lease_until", Float),
    Column("lease_token", BigInteger, nullable=False),
    Column("holder", String(64), comment="the process that has the claim"),
    Column("reason_code", String(64)),
    Column("reason_text", Text),
    Column(
        "when_idle",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="nobody waits for this run: it begins when nothing else is due, or at due_at",
    ),
    UniqueConstraint("kind", "subject", name="jobs_subject"),
    Index("jobs_due", "due_at", sqlite_where=text("state <> 'idle'"), postgresql_where=text("state <> 'idle'")),
    Index("jobs_open", "patient", sqlite_where=text("state <> 'idle'"), postgresql_where=text("state <> 'idle'")),
)

measurements = Table(
    "measurements",
    metadata,
    Column("subject", Text, primary_key=True, comment="source/ImagingStudy/id"),
    Column("run", Integer, primary_key=True, comment="the job's `wanted` that this run answered"),
    Column("patient", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("created", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("measurements_patient", "patient"),
)

assessments = Table(
    "assessments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("patient", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("created", Float, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("superseded_by", String(36)),
    Column("sent", Boolean, nullable=False, comment="the EHR has this state of it"),
    Column("model", String(64), comment="digest of the model"),
    Column("body", LargeBinary, nullable=False),
    Index("assessments_patient", "patient"),
    Index(
        "assessments_current",
        "patient",
        unique=True,
        sqlite_where=text("current"),
        postgresql_where=text("current"),
    ),
)

published = Table(
    "published",
    metadata,
    Column("resource_type", String(64), primary_key=True),
    Column("resource_id", String(64), primary_key=True),
    Column("patient", Text, comment="null for a Device: it belongs to nobody"),
    Column("identifier", Text, comment="system|value of the first identifier"),
    Column("assessment", String(36), nullable=False),
    Column("last_updated", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("published_patient", "resource_type", "patient", "last_updated"),
    Index("published_identifier", "identifier"),
    Index("published_assessment", "assessment"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", Float, nullable=False),
)
