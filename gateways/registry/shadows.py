"""What the shadow model would have said of each assessment. Stored apart: no card, page or resource reads it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from gateways.queue.inbox import Clock
from gateways.store.database import Database
from gateways.store.registry_tables import shadow_scores
from schemas.assessment import Assessment


@dataclass(frozen=True)
class ShadowScore:
    """Two models on one patient at one moment. `state` "refused": the shadow model refused, `reason` says why."""

    assessment: str
    digest: str
    active: str
    state: str
    active_state: str
    risk: float | None = None
    lower: float | None = None
    upper: float | None = None
    risk_class: str | None = None
    active_risk: float | None = None
    active_class: str | None = None
    reason: str | None = None


def beside(active: Assessment, shadow: Assessment) -> ShadowScore:
    """The pair of two assessments of the same patient at the same moment."""
    risk, shown = shadow.risk, active.risk
    return ShadowScore(
        assessment=active.id,
        digest=shadow.model.digest,
        active=active.model.digest,
        state=shadow.state,
        active_state=active.state,
        risk=risk.risk if risk else None,
        lower=risk.lower if risk else None,
        upper=risk.upper if risk else None,
        risk_class=risk.risk_class if risk else None,
        active_risk=shown.risk if shown else None,
        active_class=shown.risk_class if shown else None,
        reason=shadow.reasons[0].code if shadow.reasons else None,
    )


class Shadows:
    """The table of shadow scores."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def has(self, connection: Connection, assessment: str, digest: str) -> bool:
        """Whether the model with this digest has scored beside this assessment."""
        mine = and_(shadow_scores.c.assessment == assessment, shadow_scores.c.digest == digest)
        return connection.execute(select(shadow_scores.c.assessment).where(mine)).one_or_none() is not None

    def store(self, connection: Connection, score: ShadowScore) -> None:
        """Keep a score; the same pair is kept once."""
        values = {**score.__dict__, "created": self._clock()}
        statement = self._database.insert(shadow_scores).values(values)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["assessment", "digest"]))

    def of(self, digest: str, *, since: float = 0.0) -> Sequence[ShadowScore]:
        """Every score of one shadow model, oldest first. `since`: seconds since 1970."""
        columns = [shadow_scores.c[name] for name in ShadowScore.__dataclass_fields__]
        mine = and_(shadow_scores.c.digest == digest, shadow_scores.c.created >= since)
        with self._database.read() as connection:
            rows = connection.execute(select(*columns).where(mine).order_by(shadow_scores.c.created))
            return [ShadowScore(*row) for row in rows]
