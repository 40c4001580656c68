"""The little of a stored assessment that most calls need. Reading it costs a tenth of reading the whole record.

What is not named here is passed over by the parser; the whole record is read where a card must be written or a risk
computed. A test holds the names against schemas.assessment.
"""

import datetime as dt

import msgspec

from schemas.assessment import Assessment, AssessmentState, RiskClass


class Sourced(msgspec.Struct, frozen=True, gc=False):
    """An input, used or ignored: where it came from."""

    source: str


class BriefRisk(msgspec.Struct, frozen=True, gc=False):
    risk_class: RiskClass


class BriefModel(msgspec.Struct, frozen=True, gc=False):
    digest: str
    inputs: tuple[str, ...] = ()


class BriefMeasurement(msgspec.Struct, frozen=True, gc=False):
    vbq: float | None = None


class Brief(msgspec.Struct, frozen=True):
    """Members are named and mean as those of schemas.assessment.Assessment."""

    id: str
    state: AssessmentState
    created: dt.datetime
    model: BriefModel
    missing: tuple[str, ...] = ()
    measurement: BriefMeasurement | None = None
    risk: BriefRisk | None = None
    inputs: tuple[Sourced, ...] = ()
    ignored: tuple[Sourced, ...] = ()


_DECODER = msgspec.json.Decoder(Brief)


def read_brief(body: bytes) -> Brief:
    """The brief of a stored assessment's JSON."""
    return _DECODER.decode(body)


def brief_of(assessment: Assessment) -> Brief:
    """The brief of a whole record."""
    measured, risk = assessment.measurement, assessment.risk
    return Brief(
        id=assessment.id,
        state=assessment.state,
        created=assessment.created,
        model=BriefModel(assessment.model.digest, tuple(assessment.model.inputs)),
        missing=tuple(assessment.missing),
        measurement=BriefMeasurement(measured.vbq) if measured is not None else None,
        risk=BriefRisk(risk.risk_class) if risk is not None else None,
        inputs=tuple(Sourced(row.source) for row in assessment.inputs),
        ignored=tuple(Sourced(row.source) for row in assessment.ignored),
    )
