"""How long one piece of work may take, by its kind. What takes longer is stopped, and tried again."""

from gateways.queue.wake_channel import WakeKind
from gateways.settings import Settings

QUICK_SECONDS = 60
QUICK: frozenset[WakeKind] = frozenset({"event", "assess"})
"""The database alone: no file of a patient, no other system."""


def hard_seconds(settings: Settings, kind: WakeKind) -> int:
    """Then the child that does it is killed."""
    return min(QUICK_SECONDS, settings.task_seconds) if kind in QUICK else settings.task_seconds


def soft_seconds(settings: Settings, kind: WakeKind) -> int:
    """Then the work is told to stop by an exception."""
    return max(1, int(hard_seconds(settings, kind) * 0.9))


def renewed_seconds(settings: Settings, kind: WakeKind) -> float:
    """So long a claim is renewed: a little longer than the work may live."""
    return min(float(settings.lease_seconds), 1.25 * hard_seconds(settings, kind))
