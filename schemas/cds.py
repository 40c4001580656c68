"""CDS Hooks 2.0 messages. What we read is narrow and forgiving; what we send is strict and without empty members.

Row numbers are those of the requirements sheet, which takes them from CDS Hooks 2.0 and 2.0.1.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from schemas.errors import NotAcceptable
from schemas.fhir.narrow import issues_of

Hook = Literal["patient-view", "order-select", "order-sign"]
Indicator = Literal["info", "warning", "critical"]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
Text = Annotated[str, StringConstraints(min_length=1)]

FhirId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9\-.]{1,64}$")]


class Incoming(BaseModel):
    """What an EHR sends: unknown members are passed over, types are as JSON has them."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Context(Incoming):
    """The context of the three hooks (rows 23-25). Draft orders are read tolerantly: clients send unfinished FHIR."""

    user_id: Text
    patient_id: FhirId
    encounter_id: str | None = None
    selections: list[str] | None = None
    draft_orders: dict[str, Any] | None = None


class FhirAuthorization(Incoming):
    """A token lent for the time of one call (rows 16, 17): it is never stored, logged or shown."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=None, hide_input_in_errors=True)

    access_token: SecretStr
    token_type: Literal["Bearer"]
    expires_in: int
    scope: Text
    subject: Text

    @model_validator(mode="after")
    def _fits_a_header(self) -> Self:
        if not re.fullmatch(r"[\x21-\x7e]{1,16384}", self.access_token.get_secret_value()):
            raise ValueError("access_token is not what a header can hold")
        return self


class HookRequest(Incoming):
    """A call of a service (row 15)."""

    hook: str
    hook_instance: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    fhir_server: Url | None = None
    fhir_authorization: FhirAuthorization | None = None
    context: Context
    prefetch: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _authorization_is_for_a_server(self) -> Self:
        if self.fhir_authorization is not None and self.fhir_server is None:
            raise ValueError("fhirServer is required where fhirAuthorization is sent")
        return self

    @model_validator(mode="after")
    def _orders_where_the_hook_has_them(self) -> Self:
        if self.hook in ("order-select", "order-sign") and self.context.draft_orders is None:
            raise ValueError(f"context.draftOrders is required by {self.hook}")
        if self.hook == "order-select" and self.context.selections is None:
            raise ValueError("context.selections is required by order-select")
        return self


def read_request(document: Mapping[str, Any]) -> HookRequest:
    """`document` as a HookRequest; raises NotAcceptable (code not-cds-hooks) with an Issue per wrong member."""
    try:
        return HookRequest.model_validate(document)
    except ValidationError as error:
        issues = issues_of(error, "request")
        detail = f"not a CDS Hooks request: {issues[0].path}: {issues[0].text}"
        raise NotAcceptable(detail, issues, code="not-cds-hooks") from None


class Outgoing(BaseModel):
    """What we send: closed, and without null or empty members (row 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def document(self) -> dict[str, Any]:
        """As JSON is sent. `cards` and `services` stay even where they are empty lists (rows 6, 26)."""
        found: dict[str, Any] = _filled(self.model_dump(by_alias=True, exclude_none=True))
        return found


_MAY_BE_EMPTY: Final = frozenset({"cards", "services"})


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items() if item not in ([], {}, "") or key in _MAY_BE_EMPTY}
    return [_filled(item) for item in value] if isinstance(value, list) else value


class Coding(Outgoing):
    """A coding with a text for people (rows 29, 35)."""

    system: Url
    code: Text
    display: Text


class Source(Outgoing):
    """Where the guidance comes from (row 29); `url` is about the source, not a drill-down."""

    label: Text
    url: Url | None = None
    icon: Url | None = None
    topic: Coding | None = None


class Link(Outgoing):
    """A link (row 36); appContext goes with smart alone."""

    label: Text
    url: Url
    type: Literal["absolute", "smart"] = "absolute"
    app_context: str | None = None

    @model_validator(mode="after")
    def _context_goes_with_smart(self) -> Self:
        if self.app_context is not None and self.type != "smart":
            raise ValueError("appContext is for links of type smart")
        return self


class Action(Outgoing):
    """One change that a suggestion would make (row 34)."""

    type: Literal["create", "update", "delete"]
    description: Text
    resource: dict[str, Any] | None = None
    resource_id: str | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if self.type in ("create", "update") and self.resource is None:
            raise ValueError(f"an action of type {self.type} needs a resource")
        if self.type == "delete" and self.resource_id is None:
            raise ValueError("an action of type delete needs a resourceId")
        return self


class Suggestion(Outgoing):
    """Something that the clinician may accept (row 33)."""

    label: Text
    uuid: str | None = None
    is_recommended: bool | None = None
    actions: list[Action] = Field(default_factory=list)


class Card(Outgoing):
    """A card (rows 27-36)."""

    uuid: Text
    summary: Annotated[str, StringConstraints(min_length=1, max_length=139)]
    indicator: Indicator
    source: Source
    detail: str | None = None
    suggestions: list[Suggestion] = Field(default_factory=list)
    selection_behavior: Literal["at-most-one", "any"] | None = None
    override_reasons: list[Coding] = Field(default_factory=list)
    links: list[Link] = Field(default_factory=list)

    @model_validator(mode="after")
    def _suggestions_say_how_many(self) -> Self:
        if self.suggestions and self.selection_behavior is None:
            raise ValueError("suggestions need selectionBehavior")
        return self


class HookResponse(Outgoing):
    """The answer to a call: 200, with `cards` even where there are none (row 26)."""

    cards: list[Card] = Field(default_factory=list)


class Service(Outgoing):
    """One service in the discovery document (rows 7-13)."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    hook: Hook
    title: Text
    description: Text
    prefetch: dict[str, str] = Field(default_factory=dict)
    usage_requirements: str | None = None


class Discovery(Outgoing):
    """GET /cds-services (row 6)."""

    services: list[Service]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return text


Printable = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]


class AcceptedSuggestion(Incoming):
    id: Text


class ReasonGiven(Incoming):
    code: Printable
    system: Text | None = None
    display: str | None = None


class OverrideReason(Incoming):
    reason: ReasonGiven | None = None
    user_comment: Annotated[str, StringConstraints(max_length=4000)] | None = None


class FeedbackEntry(Incoming):
    """What became of one card (row 39)."""

    card: Printable
    outcome: Literal["accepted", "overridden"]
    outcome_timestamp: Annotated[
        str,
        StringConstraints(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
            max_length=40,
        ),
    ]
    accepted_suggestions: list[AcceptedSuggestion] | None = None
    override_reason: OverrideReason | None = None

    @model_validator(mode="after")
    def _accepted_names_suggestions(self) -> Self:
        if self.outcome == "accepted" and not self.accepted_suggestions:
            raise ValueError("acceptedSuggestions is required where the outcome is accepted")
        return self


class FeedbackMessage(Incoming):
    """POST .../feedback (row 38)."""

    feedback: list[FeedbackEntry]


def read_feedback(document: Mapping[str, Any]) -> FeedbackMessage:
    """`document` as a FeedbackMessage; raises NotAcceptable (code not-cds-hooks) with an Issue per wrong member."""
    try:
        return FeedbackMessage.model_validate(document)
    except ValidationError as error:
        issues = issues_of(error, "request")
        detail = f"not CDS Hooks feedback: {issues[0].path}: {issues[0].text}"
        raise NotAcceptable(detail, issues, code="not-cds-hooks") from None
