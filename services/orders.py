"""What is being ordered. Draft orders are read as they come: real clients send FHIR that no validator would pass.

The kind of an order is told by its codes; where it has none that a value set knows, by its words. An order that says
nothing yet (clients send the draft before its code is chosen) is `unread_order`, not nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.card_policy import CardPolicy, OrderKind, Trigger, ValueSet
from schemas.cds import Hook

MOST_ORDERS = 200
# The first that fits is what the card speaks to.
PRIORITY: Final[tuple[Trigger, ...]] = (
    "fusion",
    "vertebroplasty",
    "glucocorticoid",
    "aromatase_inhibitor",
    "dxa",
    "lumbar_mri",
    "osteoporosis_drug",
    "unread_order",
    "other_order",
)
_CONCEPTS: Final = ("code", "codeCodeableConcept", "medicationCodeableConcept", "medication", "itemCodeableConcept")


class Moment(NamedTuple):
    """When a card is asked for: the hook, what the card speaks to, and every kind of order in the draft."""

    hook: Hook
    trigger: Trigger
    kinds: frozenset[Trigger]

    @property
    def phase(self) -> str:
        """`chart` or `order`: a card silenced while an order is selected stays so when it is signed."""
        return "chart" if self.trigger == "chart" else "order"


class Read(NamedTuple):
    """What a draft order says: its codings and its words in lower case."""

    codings: tuple[tuple[str, str], ...]
    words: str


class Orders:
    """The value sets, ready for matching."""

    def __init__(self, policy: CardPolicy) -> None:
        self._sets: list[tuple[OrderKind, ValueSet, re.Pattern[str] | None]] = [
            (kind, found, _pattern(found.words)) for kind, found in policy.orders.items()
        ]

    def moment(self, hook: Hook, draft_orders: Any, selections: Sequence[str] | None) -> Moment:
        """What `hook` was called for. order-select speaks to the selected orders where they can be found."""
        if hook == "patient-view":
            return Moment(hook, "chart", frozenset())
        orders = list(_resources(draft_orders))
        if hook == "order-select" and selections:
            chosen = [row for row in orders if _name(row) in selections]
            orders = chosen or orders
        kinds = frozenset(self.kind(read(row)) for row in orders) or frozenset({"unread_order"})
        return Moment(hook, next(trigger for trigger in PRIORITY if trigger in kinds), frozenset(kinds))

    def kind(self, order: Read) -> Trigger:
        """Which value set an order is in: by code first, then by words."""
        for kind, found, _ in self._sets:
            if any(_has(found, system, code) for system, code in order.codings):
                return kind
        for kind, _, pattern in self._sets:
            if pattern is not None and pattern.search(order.words):
                return kind
        return "other_order" if order.codings or order.words else "unread_order"

    def is_treatment(self, resource: Any) -> bool:
        """Whether a medication resource is one of the osteoporosis drugs."""
        return isinstance(resource, Mapping) and self.kind(read(resource)) == "osteoporosis_drug"


def read(order: Mapping[str, Any]) -> Read:
    """The codes and words of an order, wherever R4 and R5 put them."""
    concepts = [order.get(name) for name in _CONCEPTS]
    reference = order.get("medicationReference")
    target = reference.get("reference") if isinstance(reference, Mapping) else None
    if isinstance(reference, Mapping):
        concepts.append({"text": reference.get("display")})
    concepts.extend(
        inner.get("code")
        for inner in _list(order.get("contained"))[:MOST_ORDERS]
        if isinstance(inner, Mapping) and isinstance(target, str) and f"#{inner.get('id')}" == target
    )
    codings: list[tuple[str, str]] = []
    words: list[str] = []
    for concept in concepts:
        if not isinstance(concept, Mapping):
            continue
        inner = concept.get("concept")  # R5's CodeableReference
        concept = inner if isinstance(inner, Mapping) else concept
        words.append(_text(concept.get("text")))
        for coding in _list(concept.get("coding"))[:50]:
            if isinstance(coding, Mapping):
                words.append(_text(coding.get("display")))
                system, code = coding.get("system"), coding.get("code")
                if isinstance(system, str) and isinstance(code, str) and code:
                    codings.append((system, code))
    return Read(tuple(codings), " ; ".join(word for word in words if word)[:2000].lower())


def _resources(draft_orders: Any) -> Iterator[Mapping[str, Any]]:
    entries = draft_orders.get("entry") if isinstance(draft_orders, Mapping) else None
    for entry in _list(entries)[:MOST_ORDERS]:
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        if isinstance(resource, Mapping):
            yield resource


def _name(resource: Mapping[str, Any]) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def _list(value: Any) -> list[Any]:
    """A list; one object where a list belongs counts as a list of one."""
    return value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _has(found: ValueSet, system: str, code: str) -> bool:
    return any(
        row.system == system and (row.code == code if row.code is not None else code.startswith(row.prefix or " "))
        for row in found.codes
    )


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words) + ")") if words else None
