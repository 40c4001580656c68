"""What we read of a FHIR resource, and nothing else: narrow models, checked strictly, unknown elements passed over.

fhir.resources checks all of R4B but none of the required bindings and takes 0.1-80 ms for it; this takes microseconds,
so it is what intake does before it answers. The worker does the full check (schemas/fhir/full.py).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from schemas.errors import Issue, NotAcceptable
from schemas.fhir.systems import CONDITION_CLINICAL, CONDITION_VERIFICATION

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9\-.]{1,64}$")]
Instant = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9](\.[0-9]{1,9})?(Z|[+-][0-9][0-9]:[0-9][0-9])$",
        max_length=40,
    ),
]
DateTime = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}(-[0-9][0-9](-[0-9][0-9](T[0-9][0-9]:[0-9][0-9]:[0-9][0-9](\.[0-9]{1,9})?(Z|[+-][0-9][0-9]:[0-9][0-9]))?)?)?$",
        max_length=40,
    ),
]
Date = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9][0-9](-[0-9][0-9])?)?$")]

_CLINICAL_STATUS: Final = {"active", "recurrence", "relapse", "inactive", "remission", "resolved"}
_VERIFICATION_STATUS: Final = {
    "unconfirmed",
    "provisional",
    "differential",
    "confirmed",
    "refuted",
    "entered-in-error",
}


class Narrow(BaseModel):
    """Frozen; types as JSON has them (a number in quotes is no number); what we do not read is passed over."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        alias_generator=to_camel,
    )


class Meta(Narrow):
    version_id: Id | None = None
    last_updated: Instant | None = None


class CodingElement(Narrow):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(Narrow):
    coding: list[CodingElement] = Field(default_factory=list)
    text: str | None = None


class ReferenceElement(Narrow):
    reference: str | None = None


class QuantityElement(Narrow):
    value: float | None = None
    comparator: Literal["<", "<=", ">=", ">", "ad"] | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class PeriodElement(Narrow):
    start: DateTime | None = None
    end: DateTime | None = None


class IdentifierElement(Narrow):
    system: str | None = None
    value: str | None = None


class Resource(Narrow):
    """What every resource has."""

    resource_type: str
    id: Id | None = None
    meta: Meta | None = None


class Patient(Resource):
    identifier: list[IdentifierElement] = Field(default_factory=list)
    active: bool | None = None
    gender: Literal["male", "female", "other", "unknown"] | None = None
    birth_date: Date | None = None
    deceased_boolean: bool | None = None
    deceased_date_time: DateTime | None = None


class Valued(Narrow):
    """What an Observation and each of its components have in common."""

    code: Concept
    value_quantity: QuantityElement | None = None
    value_integer: int | None = None
    value_string: str | None = None
    value_codeable_concept: Concept | None = None
    value_boolean: bool | None = None
    data_absent_reason: Concept | None = None


class Component(Valued):
    pass


class Observation(Resource, Valued):
    status: Literal[
        "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"
    ]
    subject: ReferenceElement
    effective_date_time: DateTime | None = None
    effective_instant: Instant | None = None
    effective_period: PeriodElement | None = None
    body_site: Concept | None = None
    component: list[Component] = Field(default_factory=list)


class Condition(Resource):
    clinical_status: Concept | None = None
    verification_status: Concept | None = None
    code: Concept | None = None
    subject: ReferenceElement
    onset_date_time: DateTime | None = None
    onset_period: PeriodElement | None = None
    recorded_date: DateTime | None = None

    @field_validator("clinical_status")
    @classmethod
    def _clinical(cls, concept: Concept | None) -> Concept | None:
        return _bound(concept, CONDITION_CLINICAL, _CLINICAL_STATUS)

    @field_validator("verification_status")
    @classmethod
    def _verification(cls, concept: Concept | None) -> Concept | None:
        return _bound(concept, CONDITION_VERIFICATION, _VERIFICATION_STATUS)


class Series(Narrow):
    uid: str
    modality: CodingElement | None = None  # R5 has a CodeableConcept here; its coding is then not read
    body_site: CodingElement | None = None
    description: str | None = None


class ImagingStudy(Resource):
    status: Literal["registered", "available", "cancelled", "entered-in-error", "unknown"]
    subject: ReferenceElement
    identifier: list[IdentifierElement] = Field(default_factory=list)
    started: DateTime | None = None
    modality: list[CodingElement] = Field(default_factory=list)
    procedure_code: list[Concept] = Field(default_factory=list)
    description: str | None = None
    endpoint: list[ReferenceElement] = Field(default_factory=list)
    series: list[Series] = Field(default_factory=list)


class Endpoint(Resource):
    status: Literal["active", "suspended", "error", "off", "entered-in-error", "test"]
    address: str


Known = Patient | Observation | Condition | ImagingStudy | Endpoint
MODELS: Final[Mapping[str, type[Known]]] = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "ImagingStudy": ImagingStudy,
    "Endpoint": Endpoint,
}


Model = TypeVar("Model", bound=Narrow)


class Request(Narrow):
    """Bundle.entry.request."""

    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
    url: str


class Response(Narrow):
    """Bundle.entry.response of a history."""

    etag: str | None = None
    last_modified: Instant | None = None


class Entry(Narrow):
    full_url: str | None = None
    resource: dict[str, Any] | None = None
    request: Request | None = None
    response: Response | None = None


class Bundle(Narrow):
    resource_type: Literal["Bundle"]
    type: Literal[
        "document",
        "message",
        "transaction",
        "transaction-response",
        "batch",
        "batch-response",
        "history",
        "searchset",
        "collection",
        "subscription-notification",  # R5
    ]
    timestamp: Instant | None = None
    entry: list[Entry] = Field(default_factory=list)


class MessageHeader(Resource):
    event_coding: CodingElement | None = None
    event_uri: str | None = None


def read(resource: Mapping[str, Any], path: str) -> Known:
    """`resource` as its narrow model; `path` is where it stands, e.g. `Bundle.entry[2].resource`.

    Raises KeyError for a type without a model here, NotAcceptable with an Issue per wrong element.
    """
    return read_as(MODELS[resource["resourceType"]], resource, path)


def read_as(model: type[Model], document: Mapping[str, Any], path: str) -> Model:
    """`document` as `model`; raises NotAcceptable (code not-fhir) with an Issue per wrong element, without values."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        issues = issues_of(error, path)
        raise NotAcceptable(
            f"not acceptable as FHIR R4: {issues[0].path}: {issues[0].text}", issues, code="not-fhir"
        ) from None


def issues_of(error: ValidationError, path: str) -> list[Issue]:
    """The problems of `error` as Issues with FHIRPaths below `path`; values and context are left out."""
    rows = error.errors(include_input=False, include_url=False, include_context=False)
    return [Issue(path + fhirpath(row["loc"]), _sentence(row["type"], row["msg"])) for row in rows]


def fhirpath(location: Sequence[int | str]) -> str:
    """`.component[0].code` for ("component", 0, "code"). A key that looks like no element's name is not repeated."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part if _ELEMENT.fullmatch(part) else '(not an element)'}"
        for part in location
    )


_ELEMENT = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")


def _sentence(kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch":
        return "is not written as FHIR R4 asks of this element"
    return message.removeprefix("Value error, ")


def _bound(concept: Concept | None, system: str, codes: set[str]) -> Concept | None:
    """`concept`, refused where it has a code of `system` that is not in the (required) value set."""
    for coding in concept.coding if concept else ():
        if coding.system == system and coding.code not in codes:
            raise ValueError(f"not a code of {system}")
    return concept
