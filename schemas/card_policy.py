"""The card policy: when a card appears, what it suggests, and its wording in each language. One reviewed file.

The shipped file is card_policy.yaml beside this one; a site puts its own in its place (cds.policy_file). The JSON
Schema of it is docs/card-policy.schema.json, made from these records.
"""

import string
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from schemas.assessment import AssessmentState, RiskClass
from schemas.clinical import InputName
from schemas.config import Language
from schemas.record import Record

OrderKind = Literal[
    "fusion", "vertebroplasty", "lumbar_mri", "dxa", "glucocorticoid", "aromatase_inhibitor", "osteoporosis_drug"
]
Trigger = Literal[
    "chart",
    "fusion",
    "vertebroplasty",
    "lumbar_mri",
    "dxa",
    "glucocorticoid",
    "aromatase_inhibitor",
    "osteoporosis_drug",
    "unread_order",
    "other_order",
]
SuggestionKind = Literal["dxa", "fracture_liaison", "labs", "region_review"]
TRIGGERS: Final[tuple[Trigger, ...]] = (
    "chart",
    "fusion",
    "vertebroplasty",
    "lumbar_mri",
    "dxa",
    "glucocorticoid",
    "aromatase_inhibitor",
    "osteoporosis_drug",
    "unread_order",
    "other_order",
)
RANK: Final[dict[RiskClass, int]] = {"low": 0, "moderate": 1, "high": 2}


class CodeRule(Record):
    """A code that an order may carry: exactly `code`, or any that begins with `prefix` (ATC groups)."""

    system: str
    code: str | None = None
    prefix: str | None = None
    display: str = Field(description="for the reviewer; never matched")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.code is None) == (self.prefix is None):
            raise ValueError("needs either code or prefix")
        return self


class ValueSet(Record):
    """What counts as one kind of order."""

    codes: list[CodeRule] = Field(default_factory=list)
    words: list[str] = Field(
        default_factory=list,
        description="beginnings of words, lower case; looked for in the order's own words where no code is known",
    )


class Show(Record):
    """When a card appears at one moment."""

    risk_from: Literal["low", "moderate", "high", "never"] = Field(description="the least risk class that is shown")
    states: list[AssessmentState] = Field(
        default_factory=list, description="states without a risk that are shown as well"
    )
    on_its_way: bool = Field(default=False, description="say so where a result is on its way and none is there yet")
    suggestions: list[SuggestionKind] = Field(default_factory=list, description="which may be offered here")


class OrderCode(Record):
    """What a suggested order carries."""

    system: str
    code: str
    display: str


class Suggested(Record):
    """The orders behind the suggestions. There is no place for a drug here, on purpose."""

    dxa: OrderCode
    fracture_liaison: OrderCode
    region_review: OrderCode
    labs: dict[InputName, OrderCode]
    fracture_liaison_from: RiskClass = Field(default="high", description="the least risk class for a referral")


class CardPolicy(Record):
    """The whole file."""

    schema_version: Literal[1]
    reviewed: str = Field(description="who reviewed this file, and when; shown by `vbq cards preview`")
    language: Language = Field(description="where neither the client's setting nor Accept-Language decides")
    quiet_days: float = Field(
        ge=0,
        le=3650,
        description="a card overridden with a reason stays quiet so long, for that patient and clinician, unless the "
        "risk class or state changes; 0: never quiet",
    )
    missing_data: Literal["card", "412"] = Field(
        description="what answers where data that a first answer needs could not be had: a card that names it, or 412"
    )
    review_link: Literal["auto", "none", "absolute", "smart"] = Field(
        default="auto",
        description="link of a card to the review page. auto: a SMART launch for clients that are registered for it "
        "(cds_clients.smart), none for the others; absolute: the page's own address, which opens in development alone",
    )
    show: dict[Trigger, Show]
    orders: dict[OrderKind, ValueSet]
    suggest: Suggested
    texts: dict[Language, dict[str, str]] = Field(description="the wording, by language and key")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        missing = sorted(set(TRIGGERS) - set(self.show))
        if missing:
            raise ValueError(f"show: {', '.join(missing)} missing")
        if self.language not in self.texts or "en" not in self.texts:
            raise ValueError("texts: en and the default language must be there")
        for language, texts in self.texts.items():
            _compare(language, texts, self.texts["en"])
        return self


def _compare(language: str, texts: dict[str, str], english: dict[str, str]) -> None:
    """Each language has the keys of the English catalogue, with the same placeholders."""
    if gone := sorted(english.keys() - texts.keys()):
        raise ValueError(f"texts.{language}: {', '.join(gone[:5])} missing")
    if more := sorted(texts.keys() - english.keys()):
        raise ValueError(f"texts.{language}: {', '.join(more[:5])} not known")
    for key, text in texts.items():
        if "<" in text:
            raise ValueError(f"texts.{language}.{key}: no HTML")
        if placeholders(text) != placeholders(english[key]):
            raise ValueError(f"texts.{language}.{key}: other placeholders than in English")


def placeholders(text: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
