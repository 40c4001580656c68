"""Card ids that say what they are of, so that feedback can be traced without writing a row for every card shown.

A UUID of version 8 (RFC 9562): 48 bits of the assessment's id, the hook, the trigger, and 62 bits of a hash of the
clinician. An EHR gives it back in its feedback; nobody's name can be read out of it.
"""

import hashlib
import uuid
from typing import Final, NamedTuple, get_args

from schemas.card_policy import TRIGGERS, Trigger
from schemas.cds import Hook

HOOKS: Final[tuple[Hook, ...]] = get_args(Hook)
_CLINICIAN_BITS: Final = 62


class CardOf(NamedTuple):
    """What a card was about. `prefix`: the first 13 characters of the assessment's id."""

    prefix: str
    hook: Hook
    trigger: Trigger
    clinician: str


def clinician_tag(patient: str, user: str) -> str:
    """16 hex digits for a clinician, other ones for each patient: they cannot be joined into a work profile."""
    digest = hashlib.sha256(f"{patient}\0{user}".encode()).digest()
    return f"{int.from_bytes(digest[:8], 'big') & (1 << _CLINICIAN_BITS) - 1:016x}"


def card_id(assessment: str, hook: Hook, trigger: Trigger, clinician: str) -> str:
    """The id of the card about `assessment` (a UUID) at this moment for the clinician with this tag."""
    number = (
        (uuid.UUID(assessment).int >> 80) << 80
        | 8 << 76
        | HOOKS.index(hook) << 72
        | TRIGGERS.index(trigger) << 64
        | 0b10 << 62
        | int(clinician, 16)
    )
    return str(uuid.UUID(int=number))


def with_clinician(card: bytes, clinician: str) -> bytes:
    """The id of the same card for another clinician: the last 62 bits of its text change."""
    digits = f"{int(clinician, 16) | 1 << 63:016x}"
    return card[:19] + f"{digits[:4]}-{digits[4:]}".encode()


def card_of(identifier: str) -> CardOf | None:
    """What the card with this id was about; None for an id that is not one of card_id's."""
    try:
        found = uuid.UUID(identifier)
    except ValueError:
        return None
    if found.version != 8:
        return None
    hook, trigger = found.int >> 72 & 0xF, found.int >> 64 & 0xFF
    if hook >= len(HOOKS) or trigger >= len(TRIGGERS):
        return None
    tag = f"{found.int & (1 << _CLINICIAN_BITS) - 1:016x}"
    return CardOf(str(found)[:13], HOOKS[hook], TRIGGERS[trigger], tag)
